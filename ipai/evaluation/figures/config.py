"""What `scripts/figures.py` is told."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from ipai.evaluation.config import DataRoot
from ipai.pipeline.adapter_place import problem_of_run
from ipai.schema import SEED, STEPS, above, at_least, one_of, out_of_bounds, refuse
from ipai.tasks import TASKS

OF_A_RUN, OF_RUNS = (4, 5, 8, 9, 10), (6, 7)


@dataclass
class FigureConfig:
    """One figure; conf/figures.yaml explains each key."""

    figure: int = field(metadata=one_of(*sorted((*OF_A_RUN, *OF_RUNS))))
    data: DataRoot
    output: str
    scores: list[str]
    task: str = field(metadata=one_of(*TASKS))
    sample: int = field(metadata=at_least(0))
    wordings: int = field(metadata=above(0))
    seeds: int = field(metadata=above(0))
    lora_scale: float
    seed: int = field(metadata=SEED)
    device: str
    run: str | None = None
    runs: list[str] = field(default_factory=list)
    count: int | None = field(default=None, metadata=above(0))
    controlnet: str | None = None
    lora: str | None = None
    steps: int | None = field(default=None, metadata=STEPS)


def check(config: FigureConfig) -> None:
    """Refuse what cannot work.

    Raises:
        ConfigError: With the key and the mend.
    """
    refuse([*out_of_bounds(config), *_problems(config)])


def _problems(config: FigureConfig) -> Iterator[str]:
    if config.figure in OF_A_RUN and config.run is None:
        yield f"figure={config.figure} needs run=FOLDER"
    if config.figure in OF_RUNS and not config.runs:
        yield f"figure={config.figure} needs runs=[FOLDER,...]"
    for key, runs in (("run", [config.run] if config.run is not None else []), ("runs", config.runs)):
        yield from (f"{key}={problem}" for run in runs if (problem := problem_of_run(run)))
    if config.figure == 10 and config.controlnet is None and config.lora is None:
        yield "figure=10 needs controlnet= or lora=, or both"
