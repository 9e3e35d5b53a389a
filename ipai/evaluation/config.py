"""What `scripts/evaluate.py` is told, checked before anything slow is loaded."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from ipai.backbones.config import BaseConfig
from ipai.errors import ConfigError
from ipai.pipeline.settings import GUIDANCES, SCHEDULERS, FourPassScales
from ipai.tasks import TASKS

WEIGHTS = ("ema", "raw", "start", "ip_adapter_plus")
WORDINGS = ("auto", "val", "train", "fixed")


@dataclass
class DataRoot:
    """Where the shards lie."""

    root: str | None


@dataclass
class ClipChoice:
    """The CLIP that scores."""

    model: str
    pretrained: str | None
    batch_size: int


@dataclass
class EvaluationConfig:
    """What is evaluated and how; conf/evaluate.yaml explains each."""

    weights: str
    data: DataRoot
    limit: int
    seed: int
    seeds_per_sample: int
    instructions: str
    guidance: str
    four_pass: FourPassScales
    negative: str
    scheduler: str
    clip: ClipChoice
    oracles: int
    shown: int
    crossed: int
    batch_size: int
    part_size: int
    wandb: str
    device: str
    scale_by_task: dict[str, float | None] = field(default_factory=dict)
    guidance_by_task: dict[str, str | None] = field(default_factory=dict)
    run: str | None = None
    checkpoint: str | None = None
    base: BaseConfig | None = None
    tasks: list[str] | None = None
    steps: int | None = None
    guidance_scale: float | None = None
    scale: float | None = None
    output: str | None = None
    processes: int | None = None


def check(config: EvaluationConfig) -> None:
    """Refuse what cannot work whatever the weights are.

    Raises:
        ConfigError: Each problem, with its key and the mend.
    """
    problems = [*_source_problems(config), *_choice_problems(config), *_number_problems(config)]
    if problems:
        raise ConfigError("these settings cannot work:\n" + "\n".join(f"  - {problem}" for problem in problems))


def _source_problems(config: EvaluationConfig) -> Iterator[str]:
    if config.run is None and config.checkpoint is None:
        yield "give run=FOLDER or checkpoint=FILE"
    if config.weights in ("start", "ip_adapter_plus") and (config.run is None or config.checkpoint is not None):
        yield f"weights={config.weights} are those of a run's beginning; give run= and no checkpoint="


def _choice_problems(config: EvaluationConfig) -> Iterator[str]:
    choices: dict[str, tuple[str | None, tuple[str, ...]]] = {
        "weights": (config.weights, WEIGHTS),
        "instructions": (config.instructions, WORDINGS),
        "scheduler": (config.scheduler, tuple(SCHEDULERS)),
        "guidance": (config.guidance, (*GUIDANCES, "by_task")),
        "wandb": (config.wandb, ("auto", "off")),
    }
    choices |= {
        f"guidance_by_task.{task}": (value, GUIDANCES) for task, value in config.guidance_by_task.items() if value
    }
    for key, (value, allowed) in choices.items():
        if value not in allowed:
            yield f"{key}={value} is none of {', '.join(allowed)}"
    for key, names in (("tasks", config.tasks or []), ("scale_by_task", config.scale_by_task),
                       ("guidance_by_task", config.guidance_by_task)):  # fmt: skip
        for task in names:
            if task not in TASKS:
                yield f"{key} names {task!r}, which is none of {', '.join(TASKS)}"


def _number_problems(config: EvaluationConfig) -> Iterator[str]:
    positive = {
        "limit": config.limit, "seeds_per_sample": config.seeds_per_sample, "steps": config.steps,
        "clip.batch_size": config.clip.batch_size, "batch_size": config.batch_size, "part_size": config.part_size,
        "shown": config.shown, "processes": config.processes,
    }  # fmt: skip
    for key, value in positive.items():
        if value is not None and value < 1:
            yield f"{key}={value} must be at least 1"
    if min(config.seed, config.oracles, config.crossed) < 0:
        yield f"seed={config.seed}, oracles={config.oracles} and crossed={config.crossed} must not be negative"
