"""Scores that were added to a finished shard: `train-000000.scores` beside the tar, read with its records."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ipai.data.shards import ShardSet
from ipai.errors import DataError
from ipai.files import fingerprint, write_json
from ipai.records import RecordError, read_record

_SHARDS = 64  # whose scores are kept in memory


@dataclass(frozen=True)
class ShardScores:
    """What was added to one shard.

    Attributes:
        shard: Fingerprint of the tar that was scored.
        by: Score -> what computed it: model, content of its weights.
        values: Score -> key of a sample -> value.
    """

    shard: str
    by: dict[str, str] = field(default_factory=dict)
    values: dict[str, dict[str, float]] = field(default_factory=dict)


def scores_path(shard: Path) -> Path:
    """Where the added scores of a shard lie."""
    return shard.with_suffix(".scores")


def read_scores(shard: Path) -> ShardScores:
    """The added scores of a shard; empty where there are none.

    Raises:
        DataError: The file is damaged, or the shard was changed since it was scored.
    """
    path = scores_path(shard)
    if not path.exists():
        return ShardScores(fingerprint(shard))
    try:
        found = read_record(path, ShardScores)
    except (OSError, RecordError) as error:
        raise DataError(f"{path} is damaged ({error}); remove it, and score the shard again") from error
    if found.shard != fingerprint(shard):
        raise DataError(f"{path} is of another {shard.name}, which was built anew since; remove it, and score it again")
    return found


def write_scores(shard: Path, scores: ShardScores) -> None:
    """Write them, whole or not at all."""
    write_json(scores_path(shard), asdict(scores))


def scored_record(shards: ShardSet, index: int) -> dict[str, Any]:
    """A sample's record with the added scores among its own; those that were added win.

    Raises:
        DataError, SampleError: As `ShardSet.record` and `read_scores`.
    """
    record = shards.record(index)
    shard = shards.file_of(index)
    try:
        facts = scores_path(shard).stat()
    except OSError:
        return record
    added = _by_key(shard, (facts.st_mtime_ns, facts.st_size)).get(shards.key(index))
    if added is None:
        return record
    own = record.get("scores")
    return {**record, "scores": {**(own if isinstance(own, Mapping) else {}), **added}}


@lru_cache(_SHARDS)
def _by_key(shard: Path, _stamp: tuple[int, int]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for name, values in read_scores(shard).values.items():
        for key, value in values.items():
            found.setdefault(key, {})[name] = value
    return found
