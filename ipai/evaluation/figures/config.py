"""What `scripts/figures.py` is told."""

from dataclasses import dataclass, field

from ipai.errors import ConfigError
from ipai.evaluation.config import DataRoot
from ipai.tasks import TASKS

OF_A_RUN, OF_RUNS = (4, 5, 8, 9, 10), (6, 7)


@dataclass
class FigureConfig:
    """One figure; conf/figures.yaml explains each key."""

    figure: int
    data: DataRoot
    output: str
    scores: list[str]
    task: str
    sample: int
    wordings: int
    seeds: int
    lora_scale: float
    seed: int
    device: str
    run: str | None = None
    runs: list[str] = field(default_factory=list)
    count: int | None = None
    controlnet: str | None = None
    lora: str | None = None
    steps: int | None = None


def check(config: FigureConfig) -> None:
    """Refuse what cannot work.

    Raises:
        ConfigError: With the key and the mend.
    """
    if config.figure not in (*OF_A_RUN, *OF_RUNS):
        raise ConfigError(f"figure={config.figure} is none of {', '.join(map(str, sorted((*OF_A_RUN, *OF_RUNS))))}")
    if config.figure in OF_A_RUN and config.run is None:
        raise ConfigError(f"figure={config.figure} needs run=FOLDER")
    if config.figure in OF_RUNS and not config.runs:
        raise ConfigError(f"figure={config.figure} needs runs=[FOLDER,...]")
    if config.task not in TASKS:
        raise ConfigError(f"task={config.task} is none of {', '.join(TASKS)}")
    if config.figure == 10 and config.controlnet is None and config.lora is None:
        raise ConfigError("figure=10 needs controlnet= or lora=, or both")
    for key in ("wordings", "seeds", "steps", "count"):
        value = getattr(config, key)
        if value is not None and value < 1:
            raise ConfigError(f"{key}={value} must be at least 1")
    if config.sample < 0 or config.seed < 0:
        raise ConfigError(f"sample={config.sample} and seed={config.seed} must not be negative")
