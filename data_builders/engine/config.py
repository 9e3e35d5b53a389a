"""The settings that every builder has, and the check that turns what Hydra composed into a typed configuration."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, make_dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from data_builders.engine.base_resolution import resolution_of
from data_builders.engine.executors.config import ExecutorConfig, RayExecutor, SlurmExecutor
from data_builders.engine.keyed_hash import digest_of
from ipai.evaluation.scoring.scoring_settings import ShardScoring
from ipai.llm import config as llm
from ipai.schema import SEED, above, at_least, between, one_of, refuse, typed
from ipai.tasks import TASKS

MAX_SIDE = 8192  # px, of a target
# Not a task but every one: its settings, under this key, say which builds there are (data_builders.build_all).
ALL = "all"
# None of these changes a byte of the shards (a moved source or another prompt is recognised by its plan), so they may
# differ between starts of one build.
CHANGEABLE = (
    *(
        "output",
        "base",
        "dry_run",
        "probe",
        "verify",
        "executor",
        "scores",
        "max_drop_fraction",
        "source.root",
        "captioner.prompt",
    ),
    *(f"captioner.{name}" for name in llm.CHANGEABLE),
)
# Settings that came later, with the value that changes nothing: sets of before, which lack them, go on with it.
_ADDED = {"max_aspect": 1.0, "scenes": 0.0, "source.first": None, "source.val_apart": False}


@dataclass
class ValidationSplit:
    """How many samples are held out: `fraction` of all, at most `max`, at least one where there are two."""

    max: int = field(default=1000, metadata=at_least(0))
    fraction: float = field(default=0.1, metadata=between(0, 1))


@dataclass
class CaptionerConfig:
    """Where the prompt of a target comes from; `template` is read by the captioner of that name."""

    name: str
    template: str | None = None


@dataclass(kw_only=True)
class OpenaiCaptioner(llm.LanguageModel, CaptionerConfig):
    """captioner=openai: a language model looks at each picture (data_builders.captions).

    Attributes:
        prompt: Name of one of `data_builders/captions/prompts`, or the path of a text file.
        detail: How closely the model looks, as the API calls it.
        side: Longer side of the picture that is sent, px.
        max_words: Longest caption that is accepted.
    """

    prompt: str
    detail: str = field(default="low", metadata=one_of("low", "high", "auto"))
    side: int = field(default=512, metadata=between(32, 2048))
    max_words: int = field(default=50, metadata=at_least(5))

    def problems(self) -> Iterator[str]:
        """Values that cannot work, one message each."""
        yield from llm.problems_of(self, "captioner")


@dataclass(kw_only=True)
class BuildConfig:
    """What every builder reads; a builder's own config class inherits it and adds its source, filters and settings.

    Attributes:
        task: One of `ipai.tasks.TASKS`.
        output: Folder in which the folder of the task is made.
        limit: At most this many planned samples (an unbiased draw), or None for all.
        seed: Decides split, order, draws and colours.
        base: The base model that the set is for: where nothing else is said, `image_size` is its resolution.
        image_size: Side of the square pictures, or the shorter side of others, px.
        jpeg_quality: 1..100, as libjpeg counts it.
        scores: Added to the finished shards, which they leave as they are.
        shard_size: Planned samples a shard.
        max_drop_fraction: A shard that loses more than this share when its source is read stops the build.
        verify: Check the SHA-256 of finished shards and build damaged ones anew.
        dry_run: Print the plan and stop.
        probe: In a dry run, make about this many samples, throw them away and say how long all would take.
    """

    task: str = field(metadata=one_of(*TASKS))
    output: str
    captioner: CaptionerConfig
    executor: ExecutorConfig = field(default_factory=ExecutorConfig)
    val: ValidationSplit = field(default_factory=ValidationSplit)
    scores: ShardScoring = field(default_factory=ShardScoring)
    limit: int | None = field(default=None, metadata=above(0))
    seed: int = field(default=0, metadata=SEED)
    base: str = "sd15"
    image_size: int = field(default=512, metadata=between(1, MAX_SIDE))
    jpeg_quality: int = field(default=95, metadata=between(1, 100))
    shard_size: int = field(default=1000, metadata=above(0))
    max_drop_fraction: float = field(default=0.5, metadata=between(0, 1))
    verify: bool = False
    dry_run: bool = False
    probe: int = 0

    @property
    def at_once(self) -> int:
        """How many samples its builder makes together; one that works in batches says so."""
        return 1

    @property
    def needs_gpu(self) -> bool:
        """Its builder computes on a GPU where there is one; such a builder says so."""
        return False

    def problems(self) -> Iterator[str]:
        """Values that cannot work, one message each; builders extend this."""
        resolution_of(self.base)  # raises where there is none, though a task may fix image_size
        if self.probe < 0 or (self.probe and not self.dry_run):
            yield f"probe={self.probe} is how many samples a dry run makes for a measurement: set dry_run=true, or 0"
        yield from self.scores.problems("scores")
        if isinstance(self.captioner, OpenaiCaptioner):
            yield from self.captioner.problems()


@dataclass(kw_only=True)
class AnyShape:
    """Of builders that may keep a picture's shape, for training in aspect buckets (`data.buckets`).

    Attributes:
        max_aspect: Longer over shorter side of a target, at most; what is longer is cut. 1 cuts squares.
    """

    max_aspect: float = field(default=1.0, metadata=between(1, 4))


def parse(raw: DictConfig, schema: type[BuildConfig]) -> Any:
    """Turn what Hydra composed into a checked instance of `schema`.

    Raises:
        ConfigError: A key is unknown, missing or of the wrong type, or a value cannot work.
    """
    own = OmegaConf.masked_copy(raw, [str(key) for key in raw if key != ALL])
    chosen = {group: read for group in _CHOICES if (read := _read_choice(raw, group)) is not None}
    for group in chosen:
        known = [item.name for item in fields(_CHOICES[group][0])]
        own[group] = OmegaConf.masked_copy(raw[group], known)
    config: BuildConfig = typed(own, schema)
    for group, read in chosen.items():
        setattr(config, group, read)
    refuse(config.problems())
    return config


# Groups of settings whose keys depend on the choice: their common part, and what has more keys than that, by name.
_CHOICES: dict[str, tuple[type, dict[str, type]]] = {
    "captioner": (CaptionerConfig, {"openai": OpenaiCaptioner}),
    "executor": (ExecutorConfig, {"ray": RayExecutor, "slurm": SlurmExecutor}),
}


def _read_choice(raw: DictConfig, group: str) -> Any:
    """The settings of a choice that has keys of its own; None where another is chosen."""
    schema = _CHOICES[group][1].get(OmegaConf.select(raw, f"{group}.name"))
    if schema is None:
        return None
    part = make_dataclass("Chosen", [("task", str), (group, schema)])  # settings of a group may refer to the task
    return getattr(typed(OmegaConf.masked_copy(raw, ["task", group]), part), group)


def deciding_settings(config: BuildConfig) -> dict[str, Any]:
    """The settings that decide the bytes of the shards, flat: `{"filters.min_side": 96, ...}`."""
    settings = flat(asdict(config))
    return {
        key: value
        for key, value in settings.items()
        if not _changeable(key) and (key not in _ADDED or value != _ADDED[key])
    }


def hash_of(config: BuildConfig) -> str:
    """Identity of the settings that decide the bytes of the shards (64 hexadecimal digits)."""
    return digest_of(deciding_settings(config))


def flat(node: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, with dotted keys."""
    result: dict[str, Any] = {}
    for key, value in node.items():
        result |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return result


def _changeable(key: str) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in CHANGEABLE)
