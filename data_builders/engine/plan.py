"""The plan: which sample goes to which shard. A pure function of the selection and the settings."""

import re
from collections import Counter
from dataclasses import asdict, dataclass

from data_builders.engine.config import BuildConfig, ValidationSplit
from data_builders.engine.keyed import digest_of, rank
from data_builders.engine.records import Record, Selection
from ipai.errors import DataError

_KEY = re.compile(r"[a-z0-9_-]+")


@dataclass(frozen=True)
class ShardPlan:
    """A shard to build: `split` is train or val, `name` is such as `train-000000`, `hash` identifies its records."""

    split: str
    name: str
    records: tuple[Record, ...]
    hash: str


@dataclass(frozen=True)
class Plan:
    """All shards of a task, train first, and what was left out before.

    Attributes:
        shards: The shards; those of one split together hold its samples once.
        selection: What the builder found; its records are those before the limit.
        hash: Identifies all shards (64 hexadecimal digits).
    """

    shards: tuple[ShardPlan, ...]
    selection: Selection
    hash: str

    def count(self, split: str) -> int:
        """Planned samples of a split."""
        return sum(len(shard.records) for shard in self.shards if shard.split == split)

    @property
    def beyond_limit(self) -> int:
        """Samples that passed every filter and were left out by `limit`."""
        return len(self.selection.records) - self.count("train") - self.count("val")


def make_plan(selection: Selection, config: BuildConfig) -> Plan:
    """Limit, split, shuffle and cut into shards, each by keyed hashes, so that a prefix of any of them is unbiased.

    Raises:
        DataError: Nothing is left to build, or the builder gave a key twice or one that shards cannot hold.
    """
    _check(selection)
    records = sorted(selection.records, key=lambda record: rank(config.seed, "order", record.key))[: config.limit]
    held_out = _validation_groups(records, config.val, config.seed)
    shards: list[ShardPlan] = []
    for split in ("train", "val"):
        members = [record for record in records if (record.group in held_out) == (split == "val")]
        for number, start in enumerate(range(0, len(members), config.shard_size)):
            part = tuple(members[start : start + config.shard_size])
            shards.append(
                ShardPlan(split, f"{split}-{number:06d}", part, digest_of([asdict(record) for record in part]))
            )
    return Plan(tuple(shards), selection, digest_of([(shard.name, shard.hash) for shard in shards]))


def validation_size(samples: int, split: ValidationSplit) -> int:
    """How many of `samples` are held out: none of a single one, else `fraction` of them, at least 1, at most `max`."""
    return 0 if samples < 2 else min(split.max, max(1, round(split.fraction * samples)))


def _validation_groups(records: list[Record], split: ValidationSplit, seed: int) -> set[str]:
    """Whole groups in keyed order until the split is full; one group always stays in train."""
    sizes = Counter(record.group for record in records)
    wanted = validation_size(len(records), split)
    chosen: set[str] = set()
    filled = 0
    for group in sorted(sizes, key=lambda name: rank(seed, "val", name))[:-1]:
        if filled >= wanted:
            break
        chosen.add(group)
        filled += sizes[group]
    return chosen


def _check(selection: Selection) -> None:
    if not selection.records:
        reasons = ", ".join(f"{name} {count}" for name, count in selection.drops.items() if count) or "none"
        raise DataError(
            f"nothing is left to build of {selection.considered} candidates (dropped: {reasons}); "
            "check that source.root and source.split are what you meant, or relax the filters"
        )
    seen: set[str] = set()
    for record in selection.records:
        if not _KEY.fullmatch(record.key) or record.key in seen:
            fault = "is there twice" if record.key in seen else "has letters other than [a-z0-9_-]"
            raise DataError(f"the sample key {record.key!r} {fault}; the source names two samples alike")
        seen.add(record.key)
