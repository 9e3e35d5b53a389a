"""The typed configuration of a training run: what Hydra composes is checked here before anything slow is imported.

Unknown keys are refused by name with the nearest key that exists; impossible combinations are refused with the mend.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ipai.adapter.variants import VARIANTS
from ipai.backbones.config import FAMILIES, BaseConfig, config_problems
from ipai.data.config import DataConfig
from ipai.launch.cards import CARDS
from ipai.launch.config import LaunchConfig
from ipai.schema import SEED, STEPS, above, at_least, between, one_of, refuse, strings, typed
from ipai.tasks import TASKS, get_task

AUTO = "auto"
"""As `train.micro_batch_size`: the largest that fits the GPU."""
_MARK = "from the environment"


@dataclass
class Names:
    """How the composed experiment and recipe call themselves; the default run folder is made of both."""

    experiment: str
    recipe: str


@dataclass
class AdapterConfig:
    """Which adapter is trained and how it starts (paper section 3.1). Sizes follow from the base."""

    variant: str = field(default="instruct", metadata={"one_of": VARIANTS})
    instruction: str = field(default="tokens", metadata=one_of("tokens", "pooled", "task_embedding"))
    mask_padding: bool = False
    branch_ff_mult: int = field(default=2, metadata=above(0))
    init_sigma: float = field(default=1e-4, metadata=at_least(0))


@dataclass
class InstructionsConfig:
    """Where instructions come from: drawn from the pools, or one wording a task (the paper's ablation)."""

    source: str = field(default="pool", metadata=one_of("pool", "fixed", "average"))
    pools: str | None = None
    fixed: dict[str, str] = field(default_factory=dict)
    cached_rows: int = field(default=4096, metadata=above(0))


@dataclass
class TrainConfig:
    """The optimisation (paper section 4): AdamW on the adapter."""

    steps: int = field(metadata=above(0))
    batch_size: int = field(metadata=above(0))
    learning_rate: float = field(metadata=above(0))
    micro_batch_size: int | str | None = field(default=None, metadata=above(0))
    seed: int = field(default=0, metadata=SEED)
    warmup_steps: int = field(default=0, metadata=at_least(0))
    schedule: str = field(default="constant", metadata=one_of("constant", "cosine"))
    weight_decay: float = field(default=0.01, metadata=at_least(0))
    betas: tuple[float, float] = field(default=(0.9, 0.999), metadata=between(0, 1))
    epsilon: float = field(default=1e-8, metadata=above(0))
    clip_norm: float | None = field(default=1.0, metadata=above(0))
    ema_half_life: int | None = field(default=None, metadata=above(0))
    init_from: str | None = None
    draws_per_sample: int = field(default=1, metadata=above(0))
    instruction_contrast: float = field(default=0.0, metadata=at_least(0))
    gradient_checkpointing: bool = False
    compile: bool = False
    channels_last: bool = False

    @property
    def fixed_micro_batch(self) -> int | None:
        """`micro_batch_size` where it is a number."""
        return None if isinstance(self.micro_batch_size, str) else self.micro_batch_size


@dataclass
class CheckpointConfig:
    """When the state is saved and how many are kept."""

    every: int = field(default=1000, metadata=above(0))
    keep: int = field(default=3, metadata=above(0))
    signal_check_every: int = field(default=10, metadata=above(0))


@dataclass
class ValidationConfig:
    """The fixed-noise validation loss and the picture grids."""

    every: int = field(default=1000, metadata=above(0))
    samples: int = field(default=64, metadata=at_least(0))
    images: int = field(default=2, metadata=at_least(0))
    image_every: int = field(default=5000, metadata=above(0))
    image_steps: int = field(default=30, metadata=STEPS)
    guidance_scale: float = 5.0
    adapter_scale: float = 0.8
    clip_model: str | None = None
    clip_pretrained: str | None = None


@dataclass
class LoggerConfig:
    """Metrics always go to `metrics.jsonl`; the rest says where else."""

    wandb: str = field(default="auto", metadata=one_of("auto", "online", "offline", "off"))
    project: str = "ipai"
    entity: str | None = None
    tracker: str | None = field(default=None, metadata=one_of("tensorboard", "trackio"))
    every: int = field(default=10, metadata=above(0))


@dataclass
class TrainingRun:
    """Everything `train.py` knows. Each field is a top-level key of the composed configuration.

    `objective` holds the name and the settings of one of `ipai.objective`, which checks them.
    """

    names: Names
    run: str
    runs_root: str
    tasks: list[str] = field(metadata=one_of(*TASKS))
    base: BaseConfig
    adapter: AdapterConfig
    objective: dict[str, Any]
    instructions: InstructionsConfig
    data: DataConfig
    train: TrainConfig
    checkpoint: CheckpointConfig
    validation: ValidationConfig
    logger: LoggerConfig
    launch: LaunchConfig
    dry_run: bool = False
    card: str | None = field(default=None, metadata={"one_of": CARDS})
    verify: bool = False

    def __post_init__(self) -> None:
        """Remember nothing of the command line yet; `parse` does."""
        self.unresolved: dict[str, str] = {}


def check(config: TrainingRun) -> None:
    """Refuse values that do not fit together, with a ConfigError that lists them."""
    refuse(_problems(config))


def parse(raw: DictConfig) -> TrainingRun:
    """Turn what Hydra composed into a checked `TrainingRun`.

    Raises:
        ConfigError: A key is unknown, missing or of the wrong type, or the values do not fit together.
    """
    config: TrainingRun = typed(raw, TrainingRun)
    check(config)
    config.unresolved = _of_the_environment(raw)
    return config


def to_dict(config: TrainingRun) -> dict[str, Any]:
    """The configuration as plain nested dictionaries, ready for YAML; what came from the environment is not told."""
    container = OmegaConf.to_container(OmegaConf.structured(config))
    assert isinstance(container, dict)
    for key, text in config.unresolved.items():
        *path, last = key.split(".")
        node: Any = container
        for name in path:
            node = node[int(name)] if isinstance(node, list) else node[name]
        node[int(last) if isinstance(node, list) else last] = text
    return {str(key): value for key, value in container.items()}


def _of_the_environment(raw: DictConfig) -> dict[str, str]:
    """What looks something up in the environment, itself or by way of another value: its text by its dotted key."""
    container = OmegaConf.to_container(raw)
    marked = OmegaConf.to_container(OmegaConf.create(_marked(container)), resolve=True)
    written = dict(strings(container))
    return {key: written[key] for key, text in strings(marked) if _MARK in text}


def _marked(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _marked(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_marked(value) for value in node]
    return _MARK if isinstance(node, str) and "${oc.env:" in node.replace(" ", "") else node


def _problems(config: TrainingRun) -> Iterator[str]:
    if Path(config.run.strip()).name in ("", ".", ".."):
        yield f"run={config.run!r} names no folder; give a name, such as run=joint-paper"
    if len(config.train.betas) != 2:
        yield f"train.betas={list(config.train.betas)} must be two numbers, such as [0.9,0.999]"
    yield from _task_problems(config)
    yield from _number_problems(config)
    name, chosen = config.adapter.variant, config.adapter.instruction
    told = VARIANTS[name].instruction
    if chosen not in (told or chosen, "tokens"):  # tokens is the default, which another variant need not repeat
        what = "takes no instruction" if told == "none" else f"attends to {told}"
        mend = "leave it out" if told == "none" else f"set adapter.instruction={told}"
        yield f"adapter.variant={name} {what}, so adapter.instruction={chosen} cannot work; {mend}"
    yield from config_problems(config.base)
    yield from _objective_problems(config)
    yield from _prompt_problems(config)
    yield from config.launch.problems()
    yield from config.data.problems()
    if config.base.dtype == "fp16":
        yield "base.dtype=fp16 overflows the resampler and needs a loss scaler; set base.dtype=bf16 or fp32"


def _objective_problems(config: TrainingRun) -> Iterator[str]:
    """What the shipped objectives are for; one of a user's own is checked against the base's scheduler."""
    name, family = config.objective.get("name"), config.base.family
    if family not in FAMILIES:
        return
    if FAMILIES[family].flow and name in ("epsilon", "v"):
        yield f"base.family={family} learned flow matching, which objective={name} is not for; add objective=flow"
    if FAMILIES[family].flow and config.train.compile:
        yield f"train.compile=true is for UNets so far, and base.family={family} has none; leave it out"
    if not FAMILIES[family].flow and name == "flow":
        yield f"base.family={family} learned a diffusion, which objective=flow is not for; choose epsilon, or v"


def _prompt_problems(config: TrainingRun) -> Iterator[str]:
    family = FAMILIES.get(config.base.family)
    if family is not None and not family.clip_prompts and VARIANTS[config.adapter.variant].reads_prompt:
        yield (
            f"adapter.variant={config.adapter.variant} reads the prompt by a CLIP text encoder, which "
            f"base.family={config.base.family} has not; choose adapter=instruct"
        )


def _task_problems(config: TrainingRun) -> Iterator[str]:
    if not config.tasks:
        yield "tasks is empty; name at least one of " + ", ".join(TASKS)
    if len(set(config.tasks)) != len(config.tasks):
        yield f"tasks names one twice: {config.tasks}"
    for task in config.tasks:
        if config.data.weights.get(task, 1.0) <= 0:
            yield f"data.weights.{task} must be above 0; leave {task} out of tasks instead"
    if config.instructions.source == "fixed":
        for task in config.tasks:
            if task not in config.instructions.fixed:
                yield f"instructions.source=fixed needs instructions.fixed.{task}"


def _number_problems(config: TrainingRun) -> Iterator[str]:
    train = config.train
    if train.warmup_steps > train.steps:
        yield f"train.warmup_steps={train.warmup_steps} is longer than train.steps={train.steps}"
    if train.instruction_contrast:
        yield from _contrast_problems(config)
    if isinstance(train.micro_batch_size, str) and train.micro_batch_size != AUTO:
        yield f"train.micro_batch_size={train.micro_batch_size} must be a number above 0, null or {AUTO}"
    processes = config.launch.nodes * (config.launch.processes_per_node or config.launch.cpu_processes)
    micro = train.fixed_micro_batch or 1
    if train.batch_size % (processes * micro):
        yield batch_problem(train.batch_size, processes, micro)


def _contrast_problems(config: TrainingRun) -> Iterator[str]:
    key = f"train.instruction_contrast={config.train.instruction_contrast:g}"
    variant = VARIANTS[config.adapter.variant]
    if variant.instruction == "none" or variant.reads_prompt:
        why = "reads the prompt too, by which its tokens would be told apart" if variant.reads_prompt else "hears none"
        yield f"{key} needs an adapter that hears instructions alone; adapter.variant={config.adapter.variant} {why}"
    if min(config.train.batch_size, config.train.fixed_micro_batch or config.train.batch_size) < 2:
        yield f"{key} compares the samples of a micro-batch; it needs at least two, so raise train.micro_batch_size"
    if all(get_task(task).condition_is_target for task in config.tasks):
        yield f"{key} has nothing to compare: the target of {', '.join(config.tasks)} is the condition itself"


def batch_problem(batch_size: int, processes: int, micro_batch_size: int) -> str:
    """The message for a global batch that its processes and micro-batches do not divide."""
    share = processes * micro_batch_size
    near = max(batch_size // share, 1) * share
    return (
        f"train.batch_size={batch_size} is global and must be a multiple of processes x micro-batch "
        f"({processes} x {micro_batch_size} = {share}); the nearest that fits is train.batch_size={near}"
    )
