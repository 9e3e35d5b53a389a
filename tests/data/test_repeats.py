"""Near-duplicates: the same pairs as comparing all with all, and the scores that a training filters by."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from PIL import Image

from ipai.commands.find_repeats import main
from ipai.data.likeness import first_alike, first_of_alike, hash_distance, near_pairs
from ipai.data.repeats import IN_VAL, REPEATS, compare, hash_shard, looks_path
from ipai.data.sample_filter import SampleFilter, filtered
from ipai.data.shard_scores import read_scores
from ipai.data.shards import ShardSet
from ipai.errors import DataError
from tests.helpers.coco_source import textured
from tests.helpers.shard_writer import encode, sample, write_shard, write_shards
from tests.integration.conftest import run

HASHES = some.lists(some.integers(0, 2**64 - 1), max_size=12)
FLIPS = some.lists(some.tuples(some.integers(0, 11), some.sets(some.integers(0, 63), max_size=8)), max_size=12)


def with_neighbours(hashes: list[int], flips: list[tuple[int, set[int]]]) -> list[int]:
    """Random hashes, and some more that differ from them in a few bits."""
    near = [hashes[which % len(hashes)] ^ sum(1 << bit for bit in bits) for which, bits in flips if hashes]
    return hashes + near


@given(HASHES, FLIPS, some.integers(0, 10))
def test_no_near_pair_is_missed_and_none_invented(
    hashes: list[int], flips: list[tuple[int, set[int]]], within: int
) -> None:
    values = sorted(set(with_neighbours(hashes, flips)))
    wanted = [
        [one, other]
        for one in range(len(values))
        for other in range(one + 1, len(values))
        if hash_distance(values[one], values[other]) <= within
    ]
    assert near_pairs(np.array(values, np.uint64), within).tolist() == wanted


@given(HASHES, FLIPS, some.integers(0, 10))
def test_the_first_of_alike_ones_is_kept(hashes: list[int], flips: list[tuple[int, set[int]]], within: int) -> None:
    values = with_neighbours(hashes, flips)
    kept: list[int] = []
    marks = []
    for value in values:
        marks.append(all(hash_distance(value, other) > within for other in kept))
        kept += [value] if marks[-1] else []
    hashes = np.array(values, np.uint64)
    assert first_of_alike(hashes, within).tolist() == marks
    for value, first in zip(values, first_alike(hashes, within).tolist(), strict=True):
        assert marks[first]
        assert hash_distance(value, values[first]) <= within


def picture(seed: int, side: int = 64) -> bytes:
    return encode(textured(side, side, seed), "JPEG")


def smaller(seed: int) -> bytes:
    return encode(textured(64, 64, seed).resize((48, 48), Image.Resampling.LANCZOS), "JPEG")


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Path, Path]:
    """One set whose 1 repeats 0, and 2 has its target alone; another whose 0 and 2 show what its validation does."""
    one, other = tmp_path / "one", tmp_path / "other"

    def write(path: Path, first: int, pictures: list[tuple[bytes, bytes]]) -> None:
        samples = [
            sample("style", first + number) | {"target.jpg": target, "cond.jpg": condition}
            for number, (target, condition) in enumerate(pictures)
        ]
        write_shard(path, [{name: value for name, value in one.items() if not name.endswith("png")} for one in samples])

    write(
        one / "style" / "train-000000.tar",
        0,
        [(picture(1), picture(2)), (smaller(1), smaller(2)), (picture(1), picture(3))],
    )
    write(one / "style" / "val-000000.tar", 50, [(picture(4), picture(5))])
    write(
        other / "style" / "train-000000.tar",
        70,
        [(smaller(4), picture(6)), (picture(7), picture(8)), (picture(9), picture(5)), (smaller(1), picture(3))],
    )
    return one, other


def sets_of(*roots: Path) -> list[ShardSet]:
    splits = ((root, split) for root in roots for split in ("val", "train") if any(root.glob(f"style/{split}-*")))
    return [ShardSet.open(root, "style", split) for root, split in splits]


def hashed(sets: list[ShardSet]) -> list[ShardSet]:
    with ThreadPoolExecutor(2) as threads:
        for held in sets:
            for number in range(len(held.files)):
                hash_shard(held, number, threads, lambda _: None)
    return sets


def test_copies_of_other_size_are_found_within_and_across_sets(roots: tuple[Path, Path]) -> None:
    sets = hashed(sets_of(*roots))
    val, train, foreign = compare(sets, within=3)
    assert (val.repeats, val.in_val, val.example) == (0, 0, None)
    assert (train.repeats, train.in_val) == (1, 0)
    assert (foreign.repeats, foreign.in_val) == (1, 2)
    assert foreign.example is not None
    one, other = roots
    assert foreign.example[0].startswith(f"{other}/style/train-000000.tar/")
    assert foreign.example[1].startswith(f"{one}/style/val-000000.tar/")
    values = read_scores(sets[2].files[0]).values
    assert list(values[REPEATS].values()) == [0.0, 0.0, 0.0, 1.0]
    assert list(values[IN_VAL].values()) == [1.0, 0.0, 1.0, 0.0]
    kept, _ = filtered(sets[2], SampleFilter("scores.repeats == 0 and scores.in_val == 0"))
    assert [kept.key(index) for index in range(len(kept))] == [sets[2].key(1)]


def test_every_shard_of_every_task_gets_its_scores(tmp_path: Path) -> None:
    for task in ("style", "object"):
        write_shards(tmp_path, task, 4, shards=2)
    sets = hashed([ShardSet.open(tmp_path, task, "train") for task in ("style", "object")])
    assert [found.repeats for found in compare(sets, within=0)] == [0, 0]  # both tasks show the same: not each other's
    for held in sets:
        for number, path in enumerate(held.files):
            keys = {held.key(index) for index in held.indices_in(number)}
            assert read_scores(path).values[REPEATS].keys() == keys
            assert len(keys) == 2


def test_pictures_are_decoded_once(roots: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    sets = hashed(sets_of(*roots))
    monkeypatch.setattr("ipai.data.repeats.decode_image", lambda *_: pytest.fail("decoded again"))
    first = compare(hashed(sets), within=3)
    assert compare(hashed(sets), within=3) == first


def test_damaged_samples_have_no_score_and_damaged_hashes_are_refused(tmp_path: Path) -> None:
    good = sample("style", 0)
    bad = sample("style", 1) | {"target.png": b"no picture"}
    write_shard(tmp_path / "style" / "train-000000.tar", [good, bad])
    sets = hashed(sets_of(tmp_path))
    (found,) = compare(sets, within=3)
    assert (found.samples, found.unusable) == (2, 1)
    assert len(read_scores(sets[0].files[0]).values[REPEATS]) == 1
    path = looks_path(sets[0].files[0])
    for looks in ([1], [-1, 2]):
        path.write_text(json.dumps({"shard": "any", "pictures": {"style-0000": looks}}))
        with pytest.raises(DataError, match="is damaged"):
            compare(sets, within=3)
    path.write_text("{")
    with pytest.raises(DataError, match="is damaged"):
        compare(sets, within=3)


def test_hashes_of_another_shard_are_made_again(roots: tuple[Path, Path]) -> None:
    sets = hashed(sets_of(roots[0]))
    path = looks_path(sets[0].files[0])
    path.write_text(json.dumps(json.loads(path.read_text()) | {"shard": "another"}))
    with pytest.raises(DataError, match="repeat the command"):
        compare(sets, within=3)
    compare(hashed(sets), within=3)


def test_the_command_says_what_it_found(roots: tuple[Path, Path]) -> None:
    done = run("scripts/find_repeats.py", *map(str, roots))
    assert done.returncode == 0, done.stdout
    assert f"{roots[1] / 'style'} train: 4 samples, 1 repeats, 2 seen in validation" in done.stdout
    assert f"such as {roots[1]}/style/train-000000.tar/" in done.stdout


@pytest.mark.parametrize(("words", "said"), [((".", "./."), "given twice"), ((".", "nowhere"), "nowhere")])
def test_folders_that_cannot_be_compared_are_refused(
    words: tuple[str, ...], said: str, roots: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(roots[0])
    monkeypatch.setattr(sys, "argv", ["find_repeats.py", *words, "--tasks", "style"])
    with pytest.raises(DataError, match=said):
        main()
