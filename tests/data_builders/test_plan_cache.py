"""A source that did not change is not read twice; one that did, is."""

import os
from pathlib import Path

import pytest

from data_builders.engine import plan_cache
from data_builders.engine.records import Locality, Record, Selection
from data_builders.engine.run import plan_build
from data_builders.registry import create_builder
from tests.helpers.building import configure
from tests.helpers.shard_writer import noise_image

WORDS = ("task=own_copy", "captioner=template", "captioner.template=a picture")


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(plan_cache, "_SLOW_S", 0.0)
    monkeypatch.setenv("IPAI_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(6):
        noise_image(number, 32).save(folder / f"{number}.png")
    return folder


def planned(source: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[str, bool]:
    """The plan's hash, and whether the source was read for it."""
    captions = () if any(word.startswith("captioner=") for word in words) else WORDS[1:]
    config = configure(source, source.parent / "out", WORDS[0], *captions, *words)
    builder, read = create_builder(config), []
    select = builder.select
    monkeypatch.setattr(type(builder), "select", lambda _: (read.append(1), select())[1])
    return plan_build(builder, config).hash, bool(read)


def test_the_source_is_read_once_and_the_plan_is_the_same(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, read = planned(source, monkeypatch)
    assert read
    assert planned(source, monkeypatch) == (first, False)
    assert planned(source, monkeypatch, "verify=true") == (first, True)
    monkeypatch.setattr(plan_cache, "_SLOW_S", 60.0)
    assert planned(source, monkeypatch, "seed=1")[1]
    assert planned(source, monkeypatch, "seed=1")[1], "what is read in no time is not kept"


def test_a_changed_source_setting_or_code_is_read_again(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = planned(source, monkeypatch)
    noise_image(9, 32).save(source / "9.png")
    more, read = planned(source, monkeypatch)
    assert read
    assert more != first
    os.utime(source / "0.png", ns=(1, 1))
    assert planned(source, monkeypatch) == (more, True)
    assert planned(source, monkeypatch, "limit=3")[1]
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "other.py").write_text("changed = True")
    monkeypatch.setattr(plan_cache, "_CODE", (tmp_path / "code",))
    assert planned(source, monkeypatch)[1]


def test_another_prompt_is_read_again(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("What is it?")
    words = ("captioner=openai", f"captioner.prompt={prompt}", "captioner.model=m")
    assert planned(source, monkeypatch, *words)[1]
    assert not planned(source, monkeypatch, *words)[1]
    prompt.write_text("What do you see?")
    assert planned(source, monkeypatch, *words)[1]


def test_a_name_that_is_no_text_stops_nothing(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (source / os.fsdecode(b"caf\xe9.doc")).write_text("not a picture")
    assert planned(source, monkeypatch, f"source.licence_name={'x' * 300}")[1]
    assert not planned(source, monkeypatch, f"source.licence_name={'x' * 300}")[1]


def test_a_damaged_file_is_not_believed(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = planned(source, monkeypatch)
    (kept,) = (tmp_path / "cache" / "plans").glob("*.jsonl")
    content = kept.read_bytes()
    for damaged in (b"", content[:-9], content.replace(b"0.png", b"7.png"), b"[]"):
        kept.write_bytes(damaged)
        assert planned(source, monkeypatch) == (first, True)
    assert kept.read_bytes() == content


def test_all_of_a_selection_comes_back(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = [Record(f"k{number}", "a\tgroup\n\u2028 of 'é'", {"x": [number, None, "\t\r\n"]}) for number in range(3)]
    wanted = Selection(odd, 9, {"small": 4}, {"faces": 2}, 2, Locality("archive", 8), "pairs.per_picture=9")
    config = configure(source, source.parent / "out", *WORDS)
    builder = create_builder(config)
    monkeypatch.setattr(type(builder), "select", lambda _: wanted)
    plan_cache.selected(builder, config)
    monkeypatch.setattr(type(builder), "select", None)
    found = plan_cache.selected(builder, config)
    assert found == wanted
    assert [record.text() for record in found.records] == [record.text() for record in odd]


def test_a_cache_that_cannot_be_written_stops_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    assert planned(source, monkeypatch)[1]
