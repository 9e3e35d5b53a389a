"""The plan: which sample goes to which shard. A pure function of the selection and the settings."""

import hashlib
import heapq
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from data_builders.engine.config import BuildConfig, ValidationSplit
from data_builders.engine.keyed_hash import digest_of, rank
from data_builders.engine.records import Locality, Record, Selection
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
        return self.selection.passed - self.count("train") - self.count("val")


def make_plan(selection: Selection, config: BuildConfig) -> Plan:
    """Limit, split, shuffle and cut into shards, each by keyed hashes, so that a prefix of any of them is unbiased.

    Raises:
        DataError: Nothing is left to build, or the builder gave a key twice or one that shards cannot hold.
    """
    _check(selection)
    records = drawn(selection.records, config)
    held_out = _validation_groups(records, config.val, config.seed, selection.locality)
    shards: list[ShardPlan] = []
    for split in ("train", "val"):
        members = [record for record in records if (record.group in held_out) == (split == "val")]
        for number, part in enumerate(_cut(members, config, selection.locality)):
            shards.append(ShardPlan(split, f"{split}-{number:06d}", tuple(part), _digest(part)))
    return Plan(tuple(shards), selection, digest_of([(shard.name, shard.hash) for shard in shards]))


def drawn(records: Iterable[Record], config: BuildConfig) -> list[Record]:
    """The first `limit` records in the order of a keyed hash, all of them where there is no limit.

    It holds no more than `limit` records at a time, so a builder may hand it millions, one by one.
    """

    def place(record: Record) -> bytes:
        return rank(config.seed, "order", record.key)

    return sorted(records, key=place) if config.limit is None else heapq.nsmallest(config.limit, records, key=place)


def within_limit(records: Iterable[Record], config: BuildConfig) -> list[Record]:
    """What a builder hands to the plan, which puts it in order: the records that `drawn` takes, or all of them."""
    return list(records) if config.limit is None else drawn(records, config)


def validation_size(samples: int, split: ValidationSplit) -> int:
    """How many of `samples` are held out: none of a single one, else `fraction` of them, at least 1, at most `max`."""
    return 0 if samples < 2 else min(split.max, max(1, round(split.fraction * samples)))


def _digest(records: list[Record]) -> str:
    """What `digest_of` says of their list of JSON objects, one record at a time."""
    text = ",".join(record.text() for record in records)
    return hashlib.sha256(f"[{text}]".encode()).hexdigest()


def _cut(records: list[Record], config: BuildConfig, locality: Locality | None) -> Iterator[list[Record]]:
    """The records of a split, shard by shard; whole localities stay together unless one is larger than a shard."""
    if locality is None:
        yield from _pieces(records, config.shard_size)
        return
    shard: list[Record] = []
    inside = 0
    for whole in _gathered(records, locality, config.seed):
        if shard and (inside == locality.most or len(shard) + len(whole) > config.shard_size):
            yield shard
            shard, inside = [], 0
        *full, rest = _pieces(whole, config.shard_size)
        yield from full
        shard, inside = shard + rest, inside + 1
    if shard:
        yield shard


def _gathered(records: list[Record], locality: Locality, seed: int) -> list[list[Record]]:
    """The records of each locality, in their order; the localities in that of a keyed hash."""
    gathered: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        gathered[record.field(locality.field)].append(record)
    return [gathered[name] for name in sorted(gathered, key=lambda name: rank(seed, "locality", name))]


def _pieces(records: list[Record], size: int) -> Iterator[list[Record]]:
    return (records[start : start + size] for start in range(0, len(records), size))


def _validation_groups(records: list[Record], split: ValidationSplit, seed: int, locality: Locality | None) -> set[str]:
    """Whole groups in keyed order until the split is full; one group always stays in train."""
    if locality is not None and locality.apart:
        places = _places(records, locality, seed)
    else:
        places = dict.fromkeys((record.group for record in records), b"")
    wanted = validation_size(len(records), split)
    chosen: set[str] = set()
    filled = 0
    most = min(wanted, len(places) - 1)  # as each has a sample at least
    first = heapq.nsmallest(most, places, key=lambda name: (places[name], rank(seed, "val", name)))
    asked = set(first)  # of millions of groups, few are looked at
    sizes = Counter(record.group for record in records if record.group in asked)
    for group in first:
        if filled >= wanted:
            break
        chosen.add(group)
        filled += sizes[group]
    return chosen


def _places(records: list[Record], locality: Locality, seed: int) -> dict[str, bytes]:
    """Where each group stands in the keyed order of localities; those that lie in several of them stand last."""
    last = b"\xff" * 17  # after every rank
    ranks: dict[str, bytes] = {}  # one for each locality, which millions of groups share
    found: dict[str, bytes] = {}
    for record in records:
        name = record.field(locality.field)
        place = ranks.setdefault(name, rank(seed, "locality", name))
        found[record.group] = place if found.get(record.group, place) == place else last
    return found


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
