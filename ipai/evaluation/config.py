"""What `scripts/evaluate.py` is told, checked before anything slow is loaded."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from ipai.backbones.config import DTYPES, BaseConfig
from ipai.backbones.samplers import DIFFUSION
from ipai.evaluation.measures.settings import JUDGE, LIKENESSES, VQA, JudgeChoice, MeasureWeights
from ipai.pipeline.adapter_place import problem_of, problem_of_run
from ipai.pipeline.settings import GUIDANCES, FourPassScales
from ipai.schema import SEED, STEPS, above, at_least, one_of, out_of_bounds, refuse
from ipai.tasks import TASKS

EDITOR = "instruct_pix2pix"
OF_A_RUN = ("start", "ip_adapter_plus", EDITOR)
WEIGHTS = ("ema", "raw", *OF_A_RUN)
WORDINGS = ("auto", "val", "train", "fixed")


@dataclass
class DataRoot:
    """Where the shards lie, and which of their samples are asked."""

    root: str | None
    filter: dict[str, str | None] = field(default_factory=lambda: dict.fromkeys(TASKS), metadata=one_of(*TASKS))


@dataclass
class ClipChoice:
    """The CLIP that scores."""

    model: str
    pretrained: str | None
    batch_size: int = field(metadata=above(0))


@dataclass
class EditorChoice:
    """The baseline that edits the condition; conf/evaluate.yaml explains each."""

    id: str
    guidance_scale: float = field(metadata=above(1))
    image_guidance_scale: float = field(metadata=at_least(1))
    resolution: int = field(metadata=above(0))
    wording: str
    revision: str | None = None


@dataclass
class EvaluationConfig:
    """What is evaluated and how; conf/evaluate.yaml explains each."""

    weights: str = field(metadata=one_of(*WEIGHTS))
    data: DataRoot
    limit: int = field(metadata=above(0))
    seed: int = field(metadata=SEED)
    seeds_per_sample: int = field(metadata=above(0))
    instructions: str = field(metadata=one_of(*WORDINGS))
    guidance: str = field(metadata=one_of(*GUIDANCES, "by_task"))
    four_pass: FourPassScales
    negative: str
    scheduler: str = field(metadata=one_of(*DIFFUSION))
    clip: ClipChoice
    instruct_pix2pix: EditorChoice
    measures: list[str] = field(metadata=one_of(*LIKENESSES, VQA, JUDGE))
    measure_weights: MeasureWeights
    judge: JudgeChoice
    oracles: int = field(metadata=at_least(0))
    shown: int = field(metadata=above(0))
    crossed: int = field(metadata=at_least(0))
    batch_size: int = field(metadata=above(0))
    part_size: int = field(metadata=above(0))
    wandb: str = field(metadata=one_of("auto", "off"))
    device: str
    scale_by_task: dict[str, float | None] = field(default_factory=dict, metadata=one_of(*TASKS))
    guidance_by_task: dict[str, str | None] = field(default_factory=dict, metadata=one_of(*TASKS))
    run: str | None = None
    checkpoint: str | None = None
    base: BaseConfig | None = None
    tasks: list[str] | None = field(default=None, metadata=one_of(*TASKS))
    steps: int | None = field(default=None, metadata=STEPS)
    guidance_scale: float | None = None
    scale: float | None = None
    output: str | None = None
    dtype: str | None = field(default=None, metadata=one_of(*DTYPES))
    processes: int | None = field(default=None, metadata=above(0))
    cpu_processes: int = field(default=1, metadata=above(0))


def check(config: EvaluationConfig) -> None:
    """Refuse what cannot work whatever the weights are.

    Raises:
        ConfigError: Each problem, with its key and the mend.
    """
    refuse([*out_of_bounds(config), *_source_problems(config)])


def _source_problems(config: EvaluationConfig) -> Iterator[str]:
    if config.run is None and config.checkpoint is None:
        yield "give run=FOLDER or checkpoint=FILE"
    if config.run is not None and (problem := problem_of_run(config.run)):
        yield f"run={problem}"
    if config.checkpoint is not None and (problem := problem_of(config.checkpoint)):
        yield f"checkpoint: {problem}"
    if config.weights in OF_A_RUN and (config.run is None or config.checkpoint is not None):
        whose = "asks a run's samples" if config.weights == EDITOR else "are those of a run's beginning"
        yield f"weights={config.weights} {whose}; give run= and no checkpoint="
    if config.weights == EDITOR and config.dtype is not None:
        yield f"dtype={config.dtype} is of the run's base, and weights={EDITOR} draws with another; leave it out"
    if "{prompt}" not in config.instruct_pix2pix.wording:
        yield f"instruct_pix2pix.wording={config.instruct_pix2pix.wording!r} must hold {{prompt}}"
    for task, value in config.guidance_by_task.items():
        if value is not None and value not in GUIDANCES:
            yield f"guidance_by_task.{task}={value} is none of {', '.join(GUIDANCES)}"
