"""The folder of all sources: whole or not at all, the same bytes each time, and nobody's work overwritten."""

import errno
import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipai.errors import DataError
from ipai.files import held_alone
from ipai.toyworld.sources.config import SourcesConfig
from ipai.toyworld.sources.folder import SETTINGS, are_written
from ipai.toyworld.sources.write import WRITERS, seed_of, write_sources
from tests.toyworld.sources.conftest import SAMPLES, SIDE


def settings(output: Path, samples: int = SAMPLES, seed: int = 0, size: int = SIDE) -> SourcesConfig:
    return SourcesConfig(str(output), samples, seed, size)


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_equal_settings_give_equal_bytes(sources: Path, tmp_path: Path) -> None:
    written: Counter[str] = Counter()
    for name, count in write_sources(settings(tmp_path / "new" / "again")):
        written[name] += count
    assert written == dict.fromkeys(WRITERS, SAMPLES)
    assert digests(tmp_path / "new" / "again") == digests(sources)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["again"]
    assert {path.name for path in sources.iterdir()} == {*WRITERS, SETTINGS}


def test_another_seed_gives_other_pictures(sources: Path, tmp_path: Path) -> None:
    list(write_sources(settings(tmp_path / "other", samples=10, seed=1)))
    assert not set(digests(tmp_path / "other").values()) & set(digests(sources).values())


def test_no_two_sources_share_a_seed() -> None:
    seeds = [seed_of(seed, number) for seed in (0, 1, 2**31 - 1) for number in range(len(WRITERS))]
    assert len(set(seeds)) == len(seeds)
    assert min(seeds) >= 2**32  # above those that the other parts of the toy world are drawn with
    assert max(seeds) < 2**63


def test_what_is_there_is_recognised(sources: Path, tmp_path: Path) -> None:
    assert are_written(settings(sources))
    assert not are_written(settings(tmp_path / "nothing"))
    assert not are_written(settings(tmp_path))  # empty


@pytest.mark.parametrize(
    ("change", "difference"),
    [({"samples": 61}, "samples: 60 -> 61"), ({"seed": 1}, "seed: 0 -> 1"), ({"size": 32}, "size: 64 -> 32")],
)
def test_other_settings_are_refused_with_the_difference(sources: Path, change: dict[str, int], difference: str) -> None:
    before = digests(sources)
    for attempt in (are_written, lambda config: list(write_sources(config))):
        with pytest.raises(DataError, match=f"(?s){difference}.*delete that folder"):
            attempt(settings(sources, **change))
    assert digests(sources) == before
    assert list(sources.parent.iterdir()) == [sources]


@pytest.mark.parametrize("content", [None, "", "{", "[]", '"text"', "\udcff"])
def test_a_foreign_folder_is_refused_and_kept(tmp_path: Path, content: str | None) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    if content is not None:
        (tmp_path / SETTINGS).write_text(content, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(DataError, match="holds no toy sources"):
        list(write_sources(settings(tmp_path)))
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(DataError, match="holds no toy sources"):
        list(write_sources(settings(tmp_path / "file")))
    with pytest.raises(DataError, match=r"cannot write .*file/sources"):
        list(write_sources(settings(tmp_path / "file" / "sources")))
    assert (tmp_path / "file").read_text() == "precious"


def test_a_stopped_writing_leaves_nothing(tmp_path: Path) -> None:
    writing = write_sources(settings(tmp_path / "sources"))
    next(writing)
    assert not (tmp_path / "sources").exists()
    writing.close()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_refused_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, samples: int, seed: int, side: int) -> Iterator[int]:
        yield samples
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(WRITERS, "coco", full)
    with pytest.raises(DataError, match=r"No space left on device.*free space there"):
        list(write_sources(settings(tmp_path / "sources", samples=10, size=16)))
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_writing_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".sources.tmp"
    (left / "coco" / "train2017").mkdir(parents=True)
    (left / "leftover.txt").write_text("")
    list(write_sources(settings(tmp_path / "sources", samples=10)))
    assert [path.name for path in tmp_path.iterdir()] == ["sources"]
    assert {path.name for path in (tmp_path / "sources").iterdir()} == {*WRITERS, SETTINGS}


def test_two_at_a_time_are_refused_and_the_first_is_not_disturbed(tmp_path: Path) -> None:
    aside = tmp_path / ".sources.tmp"
    aside.mkdir()
    (aside / "half").write_text("")
    with held_alone(aside, DataError()), pytest.raises(DataError, match="another process is writing"):
        list(write_sources(settings(tmp_path / "sources")))
    assert (aside / "half").exists()
