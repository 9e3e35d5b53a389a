"""Which samples of data sets show what another shows, and which training samples show what a validation sample does.

Sets of several sources meet here: one picture in the training part of one and in the validation part of another would
be scored as if it had never been seen.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from ipai.data.images import MAX_PIXELS, ImageError, decode_image
from ipai.data.likeness import BITS, first_alike, near_pairs, perceptual_hash
from ipai.data.shard_scores import ShardScores, read_scores, write_scores
from ipai.data.shards import RawSample, ShardSet
from ipai.errors import DataError, SampleError
from ipai.files import fingerprint, write_json
from ipai.records import RecordError, read_record

REPEATS, IN_VAL = "repeats", "in_val"
_CHUNK = 256  # samples in memory


@dataclass(frozen=True)
class ShardLooks:
    """`train-000000.looks` beside a shard: perceptual hashes, so that a set is decoded once, however often compared.

    Attributes:
        shard: Fingerprint of the tar.
        pictures: Key of a sample -> hashes of target and condition; a sample that cannot be decoded is left out.
    """

    shard: str
    pictures: dict[str, list[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Repeats:
    """What was found in one set.

    Attributes:
        samples: How many there are.
        unusable: How many of them cannot be decoded; they get no score.
        repeats: How many have target and condition like those of a sample of the task before them.
        in_val: How many training samples show what a validation sample of any of the sets shows.
        example: A training sample and the validation sample that it is like, as `SHARD/KEY`.
    """

    samples: int
    unusable: int
    repeats: int
    in_val: int
    example: tuple[str, str] | None


def looks_path(shard: Path) -> Path:
    """Where the hashes of a shard lie."""
    return shard.with_suffix(".looks")


def hash_shard(shards: ShardSet, number: int, threads: ThreadPoolExecutor, progress: Callable[[int], object]) -> None:
    """Write the hashes of the shard `shards.files[number]`, unless they are there.

    Raises:
        DataError: The shard cannot be read.
    """
    indices = shards.indices_in(number)
    if _known(shards.files[number]) is None:
        pictures: dict[str, list[int]] = {}
        for chunk in _chunks(iter(indices)):
            samples = [sample for index in chunk if (sample := _read(shards, index)) is not None]
            pictures |= {key: looks for key, looks in threads.map(_looks, samples) if looks}
        path = shards.files[number]
        write_json(looks_path(path), asdict(ShardLooks(fingerprint(path), pictures)))
    progress(len(indices))


def compare(sets: Sequence[ShardSet], within: int) -> list[Repeats]:
    """Find repeats among hashed sets, and write the scores `repeats` and `in_val` (1 or 0) beside their shards.

    Validation sets come first, then training sets, each in the order given: the first of alike samples is no repeat.

    Args:
        sets: The sets of all tasks and splits, hashed.
        within: Pictures are alike if their hashes differ in at most so many of 64 bits.

    Raises:
        DataError: Hashes or scores on disk are damaged.
    """
    rows = _rows(sets)
    order = np.argsort([held.split != "val" for held in sets], kind="stable")
    repeated = np.zeros(len(rows.targets), bool)
    for task in {held.task for held in sets}:
        members = np.concatenate([np.flatnonzero(rows.sets == one) for one in order if sets[one].task == task])
        alike = [first_alike(pictures[members], within) for pictures in (rows.targets, rows.conditions)]
        _, firsts = np.unique(np.stack(alike), axis=1, return_index=True)
        repeated[np.delete(members, firsts)] = True
    seen = _like_validation(rows, np.array([held.split == "val" for held in sets])[rows.sets], within)
    by = f"difference hash of {BITS} bits, within {within}, among {_digest(sets)}"
    found = []
    for number, held in enumerate(sets):
        members = np.flatnonzero(rows.sets == number)
        values = {REPEATS: repeated[members], IN_VAL: seen[members] >= 0}
        _write(held, [rows.names[row] for row in members], values, by)
        leaks = members[seen[members] >= 0]
        example = (rows.where(leaks[0]), rows.where(seen[leaks[0]])) if leaks.size else None
        repeats, in_val = (int(values[name].sum()) for name in (REPEATS, IN_VAL))
        found.append(Repeats(len(held), len(held) - len(members), repeats, in_val, example))
    return found


@dataclass(frozen=True)
class _Rows:
    """Every sample that can be decoded: uint64 hashes, number of its set, shard and key."""

    targets: np.ndarray
    conditions: np.ndarray
    sets: np.ndarray
    names: list[tuple[Path, str]]

    def where(self, row: int) -> str:
        return "/".join(map(str, self.names[row]))


def _rows(sets: Sequence[ShardSet]) -> _Rows:
    looks: list[list[int]] = []
    numbers: list[int] = []
    names: list[tuple[Path, str]] = []
    for number, held in enumerate(sets):
        for path in held.files:
            known = _known(path)
            if known is None:
                raise DataError(f"{looks_path(path)} is not there, or of another {path.name}; repeat the command")
            looks += known.pictures.values()
            numbers += [number] * len(known.pictures)
            names += [(path, key) for key in known.pictures]
    hashes = np.array(looks, np.uint64).reshape(-1, 2)
    return _Rows(hashes[:, 0], hashes[:, 1], np.array(numbers, np.int64), names)


def _like_validation(rows: _Rows, held_out: np.ndarray, within: int) -> np.ndarray:
    """For each training sample the row of a validation sample that shows what it shows, int64 [N]; -1 where none does.

    `held_out`, bool [N], says which samples are of validation.
    """
    pictures = np.concatenate([rows.targets, rows.conditions])
    values, which = np.unique(pictures, return_inverse=True)
    owners = np.flatnonzero(np.tile(held_out, 2)) % max(len(rows.targets), 1)
    shown = np.full(len(values), -1)  # value -> a validation sample that shows it
    shown[which[np.tile(held_out, 2)]] = owners
    like = shown.copy()
    pairs = near_pairs(values, within)
    for one, other in (pairs.T, pairs.T[::-1]):
        new = (like[one] < 0) & (shown[other] >= 0)
        like[one[new]] = shown[other[new]]
    by_target, by_condition = like[which].reshape(2, -1)
    return np.where(held_out, -1, np.where(by_target >= 0, by_target, by_condition))


def _write(held: ShardSet, names: Sequence[tuple[Path, str]], scores: Mapping[str, np.ndarray], by: str) -> None:
    """Put the scores, bool [N] each, beside the shards of the samples `names`."""
    values: dict[Path, dict[str, dict[str, float]]] = {path: {name: {} for name in scores} for path in held.files}
    for name, marks in scores.items():
        for (path, key), mark in zip(names, marks.tolist(), strict=True):
            values[path][name][key] = float(mark)
    for path, new in values.items():
        known = read_scores(path)
        write_scores(path, ShardScores(known.shard, known.by | dict.fromkeys(scores, by), known.values | new))


def _digest(sets: Sequence[ShardSet]) -> str:
    """Of what was compared."""
    return hashlib.sha256("".join(sorted(held.digest() for held in sets)).encode()).hexdigest()[:16]


def _known(shard: Path) -> ShardLooks | None:
    """The hashes of a shard as it is now, if they were made."""
    try:
        found = read_record(looks_path(shard), ShardLooks)
    except FileNotFoundError:
        return None
    except (OSError, RecordError) as error:
        raise DataError(f"{looks_path(shard)} is damaged ({error}); remove it, and repeat the command") from error
    if any(len(looks) != 2 or not all(0 <= look < 1 << BITS for look in looks) for looks in found.pictures.values()):
        raise DataError(f"{looks_path(shard)} is damaged (no two hashes); remove it, and repeat the command")
    return found if found.shard == fingerprint(shard) else None


def _chunks(indices: Iterator[int]) -> Iterator[list[int]]:
    return iter(lambda: list(islice(indices, _CHUNK)), [])


def _read(shards: ShardSet, index: int) -> RawSample | None:
    try:
        return shards.read(index)
    except SampleError:
        return None


def _looks(sample: RawSample) -> tuple[str, list[int]]:
    """Hashes of target and condition; none of a sample that cannot be decoded."""
    try:
        target = perceptual_hash(decode_image(sample.target, MAX_PIXELS))
        same = sample.condition == sample.target
        return sample.key, [target, target if same else perceptual_hash(decode_image(sample.condition, MAX_PIXELS))]
    except ImageError:
        return sample.key, []
