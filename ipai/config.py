"""The typed configuration of a training run: what Hydra composes is checked here before anything slow is imported.

Unknown keys are refused by name with the nearest key that exists; impossible combinations are refused with the mend.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ipai.backbones.config import BaseConfig, config_problems
from ipai.data.config import SOURCES, DataConfig
from ipai.errors import ConfigError
from ipai.launch.config import LaunchConfig
from ipai.tasks import TASKS

VARIANTS = ("instruct", "instruct_released", "ip_adapter_plus")

# What people write for a model to read: here a line break does no harm.
_TEXTS = ("prompt", "negative", "instruction", "fixed", "five", "template", "object")
_MARK = "from the environment"
_DOLLAR = re.compile(r"(\\*)(\$\{)")


@dataclass
class Names:
    """How the composed experiment and recipe call themselves; the default run folder is made of both."""

    experiment: str
    recipe: str


@dataclass
class AdapterConfig:
    """Which adapter is trained and how it starts (paper section 3.1). Sizes follow from the base."""

    variant: str = "instruct"
    instruction: str = "tokens"
    mask_padding: bool = False
    branch_ff_mult: int = 2
    init_sigma: float = 1e-4


@dataclass
class InstructionsConfig:
    """Where instructions come from: drawn from the pools, or one fixed wording a task (the paper's ablation)."""

    source: str = "pool"
    pools: str | None = None
    fixed: dict[str, str] = field(default_factory=dict)
    cached_rows: int = 4096


@dataclass
class TrainConfig:
    """The optimisation (paper section 4): AdamW on the adapter."""

    steps: int
    batch_size: int
    learning_rate: float
    micro_batch_size: int | None = None
    seed: int = 0
    warmup_steps: int = 0
    schedule: str = "constant"
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    clip_norm: float | None = 1.0
    ema_half_life: int | None = None
    gradient_checkpointing: bool = False
    compile: bool = False
    channels_last: bool = False


@dataclass
class CheckpointConfig:
    """When the state is saved and how many are kept."""

    every: int = 1000
    keep: int = 3
    signal_check_every: int = 10


@dataclass
class ValidationConfig:
    """The fixed-noise validation loss and the picture grids."""

    every: int = 1000
    samples: int = 64
    images: int = 2
    image_every: int = 5000
    image_steps: int = 30
    guidance_scale: float = 5.0
    adapter_scale: float = 0.8
    clip_model: str | None = None
    clip_pretrained: str | None = None


@dataclass
class LoggerConfig:
    """Metrics always go to `metrics.jsonl`; `wandb` says whether they also go to Weights & Biases."""

    wandb: str = "auto"
    project: str = "ipai"
    entity: str | None = None
    every: int = 10


@dataclass
class TrainingRun:
    """Everything `train.py` knows. Each field is a top-level key of the composed configuration.

    `objective` holds the name and the settings of one of `ipai.objective`, which checks them.
    """

    names: Names
    run: str
    runs_root: str
    tasks: list[str]
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
    verify: bool = False

    def __post_init__(self) -> None:
        """Remember nothing of the command line yet; `parse` does."""
        self.unresolved: dict[str, str] = {}


def parse(raw: DictConfig) -> TrainingRun:
    """Turn what Hydra composed into a checked `TrainingRun`.

    Raises:
        ConfigError: A key is unknown, missing or of the wrong type, or the values do not fit together.
    """
    config: TrainingRun = typed(raw, TrainingRun)
    problems = list(_problems(config))
    if problems:
        raise ConfigError("the configuration cannot work:\n" + "\n".join(f"  - {problem}" for problem in problems))
    config.unresolved = _of_the_environment(raw)
    return config


def plain(value: Any) -> Any:
    """Saved or foreign values (nested lists and dictionaries) as `typed` takes them literally: `${...}` is text."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    # A backslash keeps OmegaConf from looking up what follows; those that stand there already are doubled.
    return _DOLLAR.sub(lambda found: 2 * found[1] + "\\" + found[2], value) if isinstance(value, str) else value


def typed(raw: DictConfig, schema: type) -> Any:
    """Check `raw` against the dataclass `schema` and return an instance of it.

    Raises:
        ConfigError: A key is unknown, missing (`???`), cannot be interpolated, or has the wrong type.
    """
    given = OmegaConf.create(OmegaConf.to_container(raw))
    unknown = list(_unknown_keys(given, schema))
    if unknown:
        raise ConfigError("\n".join(unknown))
    try:
        merged = OmegaConf.merge(OmegaConf.structured(schema), given)
        missing = OmegaConf.missing_keys(merged)
        if missing:
            raise ConfigError("give a value to " + ", ".join(f"{key}=..." for key in sorted(missing)))
        strange = list(_control_characters(OmegaConf.to_container(merged, resolve=True)))
        if strange:
            raise ConfigError("\n".join(strange))
        return OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None)
        raise ConfigError(f"{key or 'the configuration'}: {str(error).splitlines()[0]}") from error


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
    written = dict(_strings(container))
    return {key: written[key] for key, text in _strings(marked) if _MARK in text}


def _marked(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _marked(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_marked(value) for value in node]
    return _MARK if isinstance(node, str) and "${oc.env:" in node.replace(" ", "") else node


def _strings(node: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(node, dict | list):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _strings(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(node, str):
        yield prefix, node


def _control_characters(node: Any) -> Iterator[str]:
    """Names, paths and what is handed to other programs that hold line breaks or other control characters."""
    for key, text in _strings(node):
        if not set(_TEXTS) & set(key.split(".")) and any(unicodedata.category(letter) == "Cc" for letter in text):
            yield f"{key}={text!r} holds a control character, such as a line break; leave it out"


def _unknown_keys(node: Any, schema: Any, prefix: str = "") -> Iterator[str]:
    if not (is_dataclass(schema) and isinstance(node, DictConfig)):
        return
    hints = get_type_hints(schema)
    known = {item.name for item in fields(schema)}
    for key in map(str, node):
        name = f"{prefix}{key}"
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {prefix}{near[0]}?" if near else "it holds " + ", ".join(sorted(known))
            yield f"there is no key {name}; {hint}"
        elif not OmegaConf.is_missing(node, key) and not OmegaConf.is_interpolation(node, key):
            yield from _unknown_keys(node[key], hints[key], f"{name}.")


def _problems(config: TrainingRun) -> Iterator[str]:
    yield from _task_problems(config)
    yield from _choice_problems(config)
    yield from _number_problems(config)
    if config.adapter.variant == "ip_adapter_plus" and config.adapter.instruction == "task_embedding":
        yield "adapter.variant=ip_adapter_plus takes no instruction, so adapter.instruction=task_embedding cannot work"
    if config.adapter.variant == "instruct_released" and config.adapter.instruction != "tokens":
        yield "adapter.variant=instruct_released attends to tokens; set adapter.instruction=tokens"
    yield from config_problems(config.base)
    yield from config.launch.problems()
    yield from config.data.problems()
    if config.base.dtype == "fp16":
        yield "base.dtype=fp16 overflows the resampler and needs a loss scaler; set base.dtype=bf16 or fp32"


def _task_problems(config: TrainingRun) -> Iterator[str]:
    if not config.tasks:
        yield "tasks is empty; name at least one of " + ", ".join(TASKS)
    for task in [*config.tasks, *config.data.weights]:
        if task not in TASKS:
            yield f"tasks or data.weights names {task!r}, which is none of {', '.join(TASKS)}"
    if len(set(config.tasks)) != len(config.tasks):
        yield f"tasks names one twice: {config.tasks}"
    for task in config.tasks:
        if config.data.weights.get(task, 1.0) <= 0:
            yield f"data.weights.{task} must be above 0; leave {task} out of tasks instead"
    if config.instructions.source == "fixed":
        for task in config.tasks:
            if task not in config.instructions.fixed:
                yield f"instructions.source=fixed needs instructions.fixed.{task}"


def _choice_problems(config: TrainingRun) -> Iterator[str]:
    choices: dict[str, tuple[str, tuple[str, ...]]] = {
        "adapter.variant": (config.adapter.variant, VARIANTS),
        "adapter.instruction": (config.adapter.instruction, ("tokens", "pooled", "task_embedding")),
        "instructions.source": (config.instructions.source, ("pool", "fixed")),
        "data.latents": (config.data.latents, SOURCES),
        "data.image_tokens": (config.data.image_tokens, SOURCES),
        "train.schedule": (config.train.schedule, ("constant", "cosine")),
        "logger.wandb": (config.logger.wandb, ("auto", "online", "offline", "off")),
    }
    for key, (value, allowed) in choices.items():
        if value not in allowed:
            yield f"{key}={value!s} is none of {', '.join(allowed)}"


def _number_problems(config: TrainingRun) -> Iterator[str]:
    train = config.train
    positive: dict[str, float | None] = {
        "train.steps": train.steps,
        "train.batch_size": train.batch_size,
        "train.micro_batch_size": train.micro_batch_size,
        "train.learning_rate": train.learning_rate,
        "train.epsilon": train.epsilon,
        "train.clip_norm": train.clip_norm,
        "train.ema_half_life": train.ema_half_life,
        "checkpoint.every": config.checkpoint.every,
        "checkpoint.keep": config.checkpoint.keep,
        "checkpoint.signal_check_every": config.checkpoint.signal_check_every,
        "validation.every": config.validation.every,
        "validation.image_every": config.validation.image_every,
        "validation.image_steps": config.validation.image_steps,
        "instructions.cached_rows": config.instructions.cached_rows,
        "logger.every": config.logger.every,
    }
    not_negative = {
        "train.warmup_steps": train.warmup_steps,
        "train.weight_decay": train.weight_decay,
        "adapter.init_sigma": config.adapter.init_sigma,
        "validation.samples": config.validation.samples,
        "validation.images": config.validation.images,
        "train.seed": train.seed,
    }
    for key, value in positive.items():
        if value is not None and not value > 0:
            yield f"{key}={value} must be above 0"
    for key, value in not_negative.items():
        if not value >= 0:
            yield f"{key}={value} must not be negative"
    if train.warmup_steps > train.steps:
        yield f"train.warmup_steps={train.warmup_steps} is longer than train.steps={train.steps}"
    processes = config.launch.nodes * (config.launch.processes_per_node or 1)
    if train.batch_size % (processes * (train.micro_batch_size or 1)):
        yield batch_problem(train.batch_size, processes, train.micro_batch_size or 1)


def batch_problem(batch_size: int, processes: int, micro_batch_size: int) -> str:
    """The message for a global batch that its processes and micro-batches do not divide."""
    share = processes * micro_batch_size
    near = max(batch_size // share, 1) * share
    return (
        f"train.batch_size={batch_size} is global and must be a multiple of processes x micro-batch "
        f"({processes} x {micro_batch_size} = {share}); the nearest that fits is train.batch_size={near}"
    )
