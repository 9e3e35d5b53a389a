"""What `scripts/cache_latents.py` knows. Imports nothing slow."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import DictConfig

from ipai.backbones.config import BaseConfig, config_problems
from ipai.config import typed
from ipai.errors import ConfigError
from ipai.launch.config import LaunchConfig
from ipai.tasks import TASKS


@dataclass
class CachedData:
    """Which shards are read, and where the results go.

    Attributes:
        root: Folder with `<task>/train-*.tar` and `<task>/val-*.tar`.
        cache: Where the arrays are written; null is `<root>/cache`.
        workers: Processes that decode for each process that computes; 0 decodes in that process.
        max_pixels: Larger images are refused before they are decoded.
        max_skip_fraction: A shard with a larger share of pictures that cannot be used stops the command.
    """

    root: str
    cache: str | None = None
    workers: int = 2
    max_pixels: int = 64_000_000
    max_skip_fraction: float = 0.01

    @property
    def cache_root(self) -> Path:
        """The folder of the arrays."""
        return Path(self.cache).expanduser() if self.cache else Path(self.root).expanduser() / "cache"


@dataclass
class CachingConfig:
    """Everything `scripts/cache_latents.py` knows.

    Attributes:
        base: Whose VAE and image encoder.
        data: Shards and cache.
        tasks: Which of the tasks; null is all that have shards.
        splits: Which splits.
        latents: Write the VAE's moments of the targets.
        image_tokens: Write CLIP's tokens of the conditions.
        batch_size: Pictures computed at once.
        launch: How many processes share the shards.
    """

    base: BaseConfig
    data: CachedData
    tasks: list[str] | None = None
    splits: list[str] = field(default_factory=lambda: ["train", "val"])
    latents: bool = True
    image_tokens: bool = False
    batch_size: int = 8
    launch: LaunchConfig = field(default_factory=LaunchConfig)


def parse(raw: DictConfig) -> CachingConfig:
    """Turn what Hydra composed into a checked configuration.

    Raises:
        ConfigError: A key is unknown, missing or of the wrong type, or the values do not fit together.
    """
    config: CachingConfig = typed(raw, CachingConfig)
    problems = list(_problems(config))
    if problems:
        raise ConfigError("the configuration cannot work:\n" + "\n".join(f"  - {problem}" for problem in problems))
    return config


def _problems(config: CachingConfig) -> Iterator[str]:
    yield from config_problems(config.base)
    for task in config.tasks or []:
        if task not in TASKS:
            yield f"tasks names {task!r}, which is none of {', '.join(TASKS)}"
    for split in config.splits:
        if split not in ("train", "val"):
            yield f"splits names {split!r}, which is none of train, val"
    if not (config.latents or config.image_tokens):
        yield "latents=false and image_tokens=false leave nothing to compute; set one to true"
    if config.launch.name != "local":
        yield (
            f"launch={config.launch.name} is for train.py; start this command in a job of its own, such as "
            "`sbatch --gpus-per-node=8 --wrap 'python scripts/cache_latents.py ...'`: it uses every GPU it sees"
        )
    processes = config.launch.processes
    if config.batch_size < 1 or config.data.workers < 0 or (processes is not None and processes < 1):
        yield "batch_size and launch.processes must be above 0, and data.workers must not be negative"
