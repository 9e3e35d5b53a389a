"""The shipped pools keep the rules; pools that break one are refused with file and line."""

import re
from pathlib import Path

import pytest

from ipai.errors import ConfigError, InstructionError
from ipai.instructions import fill_slot, foreign_keyword, load_pool, pools
from ipai.instructions.pools import SHIPPED, SPLITS, normalised
from ipai.tasks import TASKS

POOLS = [(task, split) for task in TASKS for split in SPLITS]


def words(text: str) -> int:
    return len(text.split())


@pytest.mark.parametrize(("task", "split"), POOLS)
def test_size_and_rules(task: str, split: str) -> None:
    pool = load_pool(task, split)
    assert len(pool) >= {"train": 1000, "val": 200}[split]
    assert len({normalised(text) for text in pool}) == len(pool)
    assert all(foreign_keyword(text, task) is None for text in pool)
    assert all(text.isascii() and text == " ".join(text.split()) for text in pool)


@pytest.mark.parametrize("task", TASKS)
def test_no_instruction_is_in_two_splits_or_two_tasks(task: str) -> None:
    mine = {normalised(text) for split in SPLITS for text in load_pool(task, split)}
    assert len(mine) == sum(len(load_pool(task, split)) for split in SPLITS)
    for other in TASKS.keys() - {task}:
        assert mine.isdisjoint(normalised(text) for split in SPLITS for text in load_pool(other, split))


@pytest.mark.parametrize("task", TASKS)
def test_held_out_phrasings_are_new(task: str) -> None:
    """Most five-word sequences of the held-out instructions never occur in training."""

    def sequences(split: str) -> set[tuple[str, ...]]:
        texts = [normalised(text).split() for text in load_pool(task, split)]
        return {tuple(text[i : i + 5]) for text in texts for i in range(len(text) - 4)}

    held_out = sequences("val")
    assert len(held_out & sequences("train")) < 0.2 * len(held_out)


@pytest.mark.parametrize(("task", "split"), POOLS)
def test_lengths_reach_from_a_word_to_a_paragraph(task: str, split: str) -> None:
    lengths = sorted(words(text) for text in load_pool(task, split))
    assert lengths[0] == 1
    assert sum(length <= 2 for length in lengths) >= (8 if split == "train" else 1)
    assert sum(length >= 40 for length in lengths) >= (40 if split == "train" else 3)
    assert any("?" in text for text in load_pool(task, split))


@pytest.mark.parametrize(("task", "split"), POOLS)
def test_shipped_files_are_plain_and_say_where_they_come_from(task: str, split: str) -> None:
    content = (SHIPPED / f"{task}.{split}.txt").read_bytes()
    assert b"\r" not in content
    assert content.endswith(b"\n")
    head = [line for line in content.decode("utf-8").split("\n") if line.startswith("#")]
    assert any("November 2026" in line and "language model" in line for line in head)


@pytest.mark.parametrize("split", SPLITS)
def test_object_names_fit_nearly_everywhere(split: str) -> None:
    pool = load_pool("object", split)
    assert sum("{object}" in text for text in pool) > 0.9 * len(pool)
    for text in pool:
        filled = fill_slot(text, "umbrella")
        assert ("umbrella" in filled) == ("{object}" in text)
        assert not re.search(r"\ba umbrella|[{}]", filled)


def write(folder: Path, name: str, *lines: str) -> Path:
    path = folder / name
    path.write_bytes("\n".join(lines).encode() + b"\n")
    return path


def test_an_own_folder_is_read_in_its_order_without_its_head(tmp_path: Path) -> None:
    write(tmp_path, "style.train.txt", "\ufeff# where from", "#", "  Use it. \r", "Another")
    assert load_pool("style", "train", tmp_path) == ("Use it.", "Another")


@pytest.mark.parametrize(
    ("task", "line", "message"),
    [
        ("style", "Copy the Faces.", "'Faces', the key word of a task other than style"),
        ("object", "Everything of the {object}", "'Everything', the key word"),
        ("style", "  ", "the line is empty"),
        ("style", "Use the {object}", r"unknown placeholder '{object}'.*no placeholder may be used for style"),
        ("object", "Use the {thing}", r"unknown placeholder '{thing}'.*only {object} may be used"),
        ("object", "Use the {object", "unknown placeholder '{'"),
        ("object", "Use the object", r"names the object itself; write {object}"),
        ("object", "Use {object} as an Object", r"names the object itself; write {object}"),
        ("style", "FIRST   one", "repeats .*style.train.txt:2"),
        ("style", "# late remark", "remarks stand at the top"),
    ],
)
def test_a_line_that_breaks_a_rule_is_named(tmp_path: Path, task: str, line: str, message: str) -> None:
    path = write(tmp_path, f"{task}.train.txt", "# head", "First one!", line, "Last one")
    with pytest.raises(InstructionError, match=rf"^{re.escape(str(path))}:3: .*{message}"):
        load_pool(task, "train", tmp_path)


@pytest.mark.parametrize("split", SPLITS)
def test_an_instruction_in_both_splits_is_refused_from_either(tmp_path: Path, split: str) -> None:
    train = write(tmp_path, "face.train.txt", "One", "Keep the face.")
    val = write(tmp_path, "face.val.txt", "# head", "keep the  face")
    with pytest.raises(InstructionError) as refusal:
        load_pool("face", split, tmp_path)
    assert f"{train}:2" in str(refusal.value)
    assert f"{val}:2" in str(refusal.value)


def test_each_line_is_checked_once_however_often_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    monkeypatch.setattr(pools, "_check", lambda line, _: checked.append(line.text))
    write(tmp_path, "face.train.txt", "One", "Two")
    write(tmp_path, "face.val.txt", "Three")
    for split in ("train", "val", "train"):
        load_pool("face", split, tmp_path)
    assert checked == ["One", "Two", "Three"]


def test_files_that_change_are_read_and_checked_anew(tmp_path: Path) -> None:
    write(tmp_path, "face.train.txt", "One")
    assert load_pool("face", "train", tmp_path) == ("One",)
    write(tmp_path, "face.train.txt", "Two")
    assert load_pool("face", "train", tmp_path) == ("Two",)
    write(tmp_path, "face.val.txt", "two")
    with pytest.raises(InstructionError, match="repeats"):
        load_pool("face", "train", tmp_path)


def test_files_that_are_no_pools_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InstructionError, match=r"no instruction pool .*copy\.train\.txt"):
        load_pool("copy", "train", tmp_path)
    write(tmp_path, "copy.train.txt", "# only a head")
    with pytest.raises(InstructionError, match="holds no instruction"):
        load_pool("copy", "train", tmp_path)
    (tmp_path / "copy.train.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InstructionError, match="not UTF-8"):
        load_pool("copy", "train", tmp_path)


def test_unknown_tasks_and_splits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no task 'colour'"):
        load_pool("colour", "train")
    with pytest.raises(ConfigError, match="no split 'test'"):
        load_pool("copy", "test")
