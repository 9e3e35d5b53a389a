"""The first rows of a data set are streamed once, and go on where the stream was cut off."""

from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace

import datasets
import pytest
from datasets import Dataset, Features, Image, Value

from data_builders.own import hugging_face, streamed
from tests.data_builders.own.test_sources import HUGGINGFACE, encoded, selected

COUNT = 12


@pytest.fixture
def parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Rows in two files, as they lie on the hub; streamed in files of three."""
    features = Features({"image": Image(), "text": Value("string")})
    for file in range(2):
        rows = [
            {"image": {"bytes": encoded(f"rgb({9 * n},0,0)"), "path": None}, "text": f"row {n}"}
            for n in range(file * COUNT // 2, (file + 1) * COUNT // 2)
        ]
        Dataset.from_list(rows, features=features).to_parquet(str(tmp_path / "set" / f"train-{file}.parquet"))
    monkeypatch.setenv("IPAI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(streamed, "_ROWS", 3)
    hugging_face._opened.cache_clear()
    return tmp_path / "set"


def prompts(root: Path, tmp_path: Path, *words: str) -> list[str]:
    hugging_face._opened.cache_clear()
    columns = ("task=own_copy", HUGGINGFACE, "source.columns.prompt=text")
    return sorted(record.fields["prompt"] for record in selected(root, tmp_path, *columns, *words).records)


def test_so_many_rows_come_and_the_rest_is_not_read(parquet: Path, tmp_path: Path) -> None:
    assert prompts(parquet, tmp_path, "source.first=5") == [f"row {n}" for n in range(5)]
    files = sorted((tmp_path / "cache" / "streams").rglob("*.parquet"))
    assert [Dataset.from_parquet(str(path)).num_rows for path in files] == [3, 2]
    assert len(prompts(parquet, tmp_path, "source.first=99")) == COUNT, "a set may have fewer"
    (parquet / "train-0.parquet").unlink()
    changed = prompts(parquet, tmp_path, "source.first=5")
    assert changed == sorted(f"row {n}" for n in range(6, 11)), "a folder that changed is streamed anew"


def test_a_stream_that_was_cut_off_goes_on_behind_its_last_file(
    parquet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, written = streamed.atomic_path, []

    def failing(path: Path) -> AbstractContextManager[Path]:
        if len(written) == 2:
            raise OSError("the line is down")
        written.append(path.name)
        return real(path)

    monkeypatch.setattr(streamed, "atomic_path", failing)
    with pytest.raises(Exception, match="the line is down"):
        prompts(parquet, tmp_path, "source.first=10")
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.parquet")}
    assert len(stamps) == 2
    written.clear()
    assert len(prompts(parquet, tmp_path, "source.first=10")) == 10
    assert written == ["rows-000002.parquet", "rows-000003.parquet"]
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    monkeypatch.setattr("datasets.load_dataset", None)  # what is whole needs no stream
    assert prompts(parquet, tmp_path, "source.first=10") == sorted(f"row {n}" for n in range(10))


def test_a_saved_set_gives_its_first_rows_without_a_stream(parquet: Path, tmp_path: Path) -> None:
    Dataset.from_parquet([str(path) for path in sorted(parquet.glob("*.parquet"))]).save_to_disk(tmp_path / "saved")
    assert prompts(tmp_path / "saved", tmp_path, "source.first=2") == ["row 0", "row 1"]
    assert not (tmp_path / "cache" / "streams").exists()


def test_a_stream_of_the_hub_stays_with_the_commit_it_began_with(
    parquet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []
    real = datasets.load_dataset
    commits = iter(["aaa", "bbb"])
    monkeypatch.setattr(streamed.HfApi, "dataset_info", lambda *_, **__: SimpleNamespace(sha=next(commits)))

    def load(name: str, subset: str | None, split: str, revision: str | None, streaming: bool) -> object:
        assert name == "some/set"
        asked.append(revision)
        if len(asked) == 1:
            raise OSError("the line is down")
        return real(str(parquet), subset, split=split, streaming=streaming)

    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(OSError, match="the line is down"):
        streamed.first_rows("some/set", None, "train", None, 4)
    assert streamed.first_rows("some/set", None, "train", None, 4).num_rows == 4
    assert asked == ["aaa", "aaa"]
