"""Which shards a cache is made of, which of them are done, and whose the others are."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ipai.backbones.families import read_dims
from ipai.caching.config import CachingConfig
from ipai.caching.identity import identity_of
from ipai.data.cache import IMAGE_TOKENS, LATENTS, CacheIdentity, cache_shard, checked_sidecar
from ipai.data.shards import ShardSet
from ipai.errors import DataError
from ipai.schema import refuse
from ipai.tasks import TASKS


@dataclass(frozen=True)
class Work:
    """One shard of one kind: the sample set, the shard's number in it, where its arrays belong, if they are there."""

    kind: str
    shards: ShardSet
    number: int
    path: Path
    done: bool

    @property
    def samples(self) -> range:
        """The samples of the shard."""
        return self.shards.indices_in(self.number)


@dataclass
class CachePlan:
    """What is to be computed.

    Attributes:
        identities: By kind.
        works: All shards of all kinds, done or not.
    """

    identities: dict[str, CacheIdentity]
    works: list[Work]

    @property
    def todo(self) -> list[Work]:
        """The shards without a usable cache."""
        return [work for work in self.works if not work.done]

    def share(self, rank: int, processes: int) -> list[Work]:
        """The unfinished shards of one of several processes, which may see different ones finished."""
        return [work for work in self.works[rank::processes] if not work.done]


def plan_cache(config: CachingConfig) -> CachePlan:
    """Find the shards and compare what is cached of them; stale and foreign caches are made anew.

    Raises:
        ConfigError: The base cannot be trained on the sizes of the buckets.
        DataError: There are no shards, or one is damaged.
        WeightsError: The networks' files are missing.
    """
    if config.data.buckets.max_aspect > 1:
        dims = read_dims(config.base)
        refuse(config.data.buckets.problems(config.base.name, dims.resolution, dims.multiple))
    kinds = [kind for kind, wanted in ((LATENTS, config.latents), (IMAGE_TOKENS, config.image_tokens)) if wanted]
    identities = {kind: identity_of(kind, config.base, config.data.buckets) for kind in kinds}
    works = []
    for shards in _shard_sets(config):
        for kind in kinds:
            for number, shard in enumerate(shards.files):
                path = cache_shard(config.data.cache_root, kind, shards.task, shard)
                works.append(Work(kind, shards, number, path, _is_done(path, shard, identities[kind])))
    return CachePlan(identities, works)


def _shard_sets(config: CachingConfig) -> Iterator[ShardSet]:
    root = Path(config.data.root).expanduser()
    found = [task for task in TASKS if any((root / task / f"{split}-000000.tar").exists() for split in config.splits)]
    if not (tasks := config.tasks or found):
        raise DataError(f"there are no shards below {root}; set data.root to the folder that holds <task>/train-*.tar")
    for task in tasks:
        for split in config.splits:
            yield ShardSet.open(root, task, split)


def _is_done(path: Path, shard: Path, identity: CacheIdentity) -> bool:
    try:
        checked_sidecar(path, shard, identity)
    except DataError:
        return False
    return True
