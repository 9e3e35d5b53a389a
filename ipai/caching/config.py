"""What `scripts/cache_latents.py` knows. Imports nothing slow."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import DictConfig

from ipai.backbones.config import BaseConfig, config_problems
from ipai.data.bucket_sizes import BucketConfig
from ipai.launch.config import LaunchConfig
from ipai.schema import above, at_least, between, one_of, refuse, typed
from ipai.tasks import TASKS


@dataclass
class CachedData:
    """Which shards are read, and where the results go.

    Attributes:
        root: Folder with `<task>/train-*.tar` and `<task>/val-*.tar`.
        cache: Where the arrays are written; null is `<root>/cache`.
        workers: Processes that decode for each process that computes; 0 decodes in that process.
        max_pixels: Larger images are refused before they are decoded.
        buckets: Which sizes targets are cut to; as the run's `data.buckets`.
        max_skip_fraction: A shard with a larger share of pictures that cannot be used stops the command.
    """

    root: str
    cache: str | None = None
    workers: int = field(default=2, metadata=at_least(0))
    max_pixels: int = field(default=64_000_000, metadata=above(0))
    buckets: BucketConfig = field(default_factory=BucketConfig)
    max_skip_fraction: float = field(default=0.01, metadata=between(0, 1))

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
    tasks: list[str] | None = field(default=None, metadata=one_of(*TASKS))
    splits: list[str] = field(default_factory=lambda: ["train", "val"], metadata=one_of("train", "val"))
    latents: bool = True
    image_tokens: bool = False
    batch_size: int = field(default=8, metadata=above(0))
    launch: LaunchConfig = field(default_factory=LaunchConfig)


def parse(raw: DictConfig) -> CachingConfig:
    """Turn what Hydra composed into a checked configuration.

    Raises:
        ConfigError: A key is unknown, missing or of the wrong type, or the values do not fit together.
    """
    config: CachingConfig = typed(raw, CachingConfig)
    refuse(_problems(config))
    return config


def _problems(config: CachingConfig) -> Iterator[str]:
    yield from config_problems(config.base)
    if not (config.latents or config.image_tokens):
        yield "latents=false and image_tokens=false leave nothing to compute; set one to true"
    if config.launch.name != "local":
        yield (
            f"launch={config.launch.name} is for train.py; start this command in a job of its own, such as "
            "`sbatch --gpus-per-node=8 --wrap 'python scripts/cache_latents.py ...'`: it uses every GPU it sees"
        )
