"""A set goes out only if every record's licence permits it, and says which version it is."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from data_builders.publishing import VERSIONS, read_versions, refuse_forbidden, summary, survey, why_not, write_release
from ipai.data.shards import ShardSet
from ipai.errors import ConfigError, DataError
from tests.data_builders.own.test_own import picture, told
from tests.helpers.building import build_all, configure, digests
from tests.integration.conftest import run


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Six pictures with captions and a list that names their licences."""
    root = tmp_path / "pictures"
    rows = []
    for number in range(6):
        told(picture(root / f"{number}.png"), f"number {number}")
        rows.append({"file_name": f"{number}.png", "licence": "CC-BY-4.0" if number else "CC0-1.0"})
    (root / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


def built(pictures: Path, tmp_path: Path, *words: str) -> Path:
    build_all(configure(pictures, tmp_path / "shards", "task=own_copy", "val.fraction=0.3", *words))
    return tmp_path / "shards"


def release(root: Path, output: Path, version: str = "1.0.0", changes: str = "first") -> Path:
    return write_release(root, survey(root, ["copy"], []), "me/mine", version, changes, output)


def test_a_permissive_set_becomes_a_folder_that_reads_as_it_did(pictures: Path, tmp_path: Path) -> None:
    root = built(pictures, tmp_path)
    folder = release(root, tmp_path / "out")
    assert digests(folder / "copy") == digests(root / "copy")
    assert len(ShardSet.open(folder, "copy", "train")) + len(ShardSet.open(folder, "copy", "val")) == 6
    card = (folder / "README.md").read_text()
    facts = yaml.safe_load(card.split("---")[1])
    assert facts["configs"] == [
        {"config_name": "copy", "data_files": [
            {"split": "train", "path": "copy/train-*.tar"}, {"split": "validation", "path": "copy/val-*.tar"},
        ]}
    ]  # fmt: skip
    for words in ("| CC-BY-4.0 | 5 |", "| CC0-1.0 | 1 |", "- **1.0.0** (6 samples): first", "'tasks=[copy]'"):
        assert words in card
    assert "shared alike" not in card


def test_hugging_faces_library_reads_the_folder(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    from datasets import load_dataset

    folder = release(built(pictures, tmp_path), tmp_path / "out")
    loaded = load_dataset(str(folder), "copy", streaming=True)
    assert set(loaded) == {"train", "validation"}
    assert len({sample["__key__"] for split in loaded.values() for sample in split}) == 6


def test_a_record_that_may_not_be_passed_on_is_named(pictures: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (pictures / "metadata.jsonl").read_text().splitlines()]
    for row, licence in zip(rows, ["CC-BY-NC-4.0", "CC-BY-ND-4.0", "Mine", None], strict=False):
        row["licence"] = licence
    (pictures / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    root = built(pictures, tmp_path)
    found = survey(root, ["copy"], [])
    with pytest.raises(DataError) as refused:
        refuse_forbidden(found)
    text = str(refused.value)
    for words in (
        "1 records are non-commercial: ",
        "(CC-BY-NC-4.0)",
        "allow no derivatives",
        "state no licence",
        "(Mine)",
    ):
        assert words in text
    assert "copy-" in text, "the record's key"
    with pytest.raises(DataError, match="may not be published"):
        write_release(root, found, "me/mine", "1.0.0", "x", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (root / VERSIONS).exists()
    refuse_forbidden(survey(root, ["copy"], ["CC-BY-NC-4.0", "CC-BY-ND-4.0", "Mine", "not stated"]))


@pytest.mark.parametrize(
    ("licence", "reason"),
    [
        (None, "state no licence"),
        ({"name": "", "url": ""}, "state no licence"),
        (
            {"name": "Attribution-NonCommercial License", "url": "http://creativecommons.org/licenses/by-nc/2.0/"},
            "are non",
        ),
        ({"name": "x", "url": "https://creativecommons.org/licenses/by-nd/4.0/"}, "allow no"),
        ({"name": "Attribution License", "url": "http://creativecommons.org/licenses/by/2.0/"}, None),
        ({"name": "CC-BY-SA-4.0", "url": ""}, None),
        ({"name": "CC-BY-4.0", "url": "https://example.org/terms"}, "have a licence that is not known"),
        ({"name": "JourneyDB", "url": ""}, "have a licence that is not known"),
    ],
)
def test_why_a_licence_forbids_it(licence: Any, reason: str | None) -> None:
    said = why_not(licence)
    assert (said is None) if reason is None else (said or "").startswith(reason)


def test_versions_rise_and_are_remembered(pictures: Path, tmp_path: Path) -> None:
    root = built(pictures, tmp_path)
    release(root, tmp_path / "a")
    with pytest.raises(ConfigError, match=r"1\.0\.0 is not above 1\.0\.0"):
        release(root, tmp_path / "b")
    with pytest.raises(ConfigError, match="give major"):
        release(root, tmp_path / "b", "two")
    with pytest.raises(ConfigError, match="exists"):
        release(root, tmp_path / "a", "1.1.0")
    folder = release(root, tmp_path / "b", "1.10.0", "better captions")
    versions = read_versions(root)
    assert [one.version for one in versions] == ["1.0.0", "1.10.0"]
    assert versions[0].digests == versions[1].digests
    card = (folder / "README.md").read_text()
    assert card.index("1.10.0** (6 samples): better captions") < card.index("1.0.0** (6 samples): first")
    (root / VERSIONS).write_text("[")
    with pytest.raises(DataError, match="is damaged"):
        read_versions(root)


def test_what_is_not_finished_is_named(pictures: Path, tmp_path: Path) -> None:
    root = built(pictures, tmp_path)
    with pytest.raises(DataError, match="no finished set"):
        survey(root, ["style"], [])
    (root / "copy" / "card.md").rename(tmp_path / "card.md")
    with pytest.raises(DataError, match=r"lacks card\.md"):
        survey(root, ["copy"], [])
    (tmp_path / "card.md").rename(root / "copy" / "card.md")
    (root / "copy" / "train-000000.json").write_text('{"samples": [{}]}')
    with pytest.raises(DataError, match=r"train-000000\.json is missing or damaged"):
        survey(root, ["copy"], [])


def test_a_shard_that_is_not_what_its_sidecar_says_stays_here(pictures: Path, tmp_path: Path) -> None:
    root = built(pictures, tmp_path)
    shard = next((root / "copy").glob("train-*.tar"))
    shard.write_bytes(shard.read_bytes()[:-512] + b"\1" * 512)
    with pytest.raises(DataError, match="is not what its sidecar says"):
        release(root, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_linked_shards_are_released_whole(pictures: Path, tmp_path: Path) -> None:
    root = built(pictures, tmp_path)
    for path in list((root / "copy").glob("*.tar")):
        moved = path.rename(tmp_path / path.name)
        path.symlink_to(Path("../..") / moved.name)
    folder = release(root, tmp_path / "a" / "b" / "out")
    assert not any(path.is_symlink() for path in folder.rglob("*"))
    assert len(ShardSet.open(folder, "copy", "train")) > 0


def test_the_command_writes_nothing_unless_told(pictures: Path, tmp_path: Path) -> None:
    root = built(pictures, tmp_path)
    before = sorted(root.rglob("*"))
    assert "  CC-BY-4.0: 5" in list(summary(survey(root, ["copy"], [])))
    words = ("scripts/publish.py", str(root), "--name", "me/mine")
    done = run(*words)
    assert done.returncode == 0, done.stdout
    assert "nothing was written" in done.stdout
    assert sorted(root.rglob("*")) == before
    done = run(*words, "--output", str(tmp_path / "out"))
    assert f"hf upload-large-folder me/mine {tmp_path}/out --repo-type dataset" in done.stdout
    assert (tmp_path / "out" / "README.md").is_file()
