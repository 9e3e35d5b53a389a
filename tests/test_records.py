"""Records that were damaged, or that somebody else wrote, are named; nothing is trusted and nothing waited for."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipai import records
from ipai.records import RecordError, differences, parsed, read_json_lines, read_record, read_yaml


@dataclass(frozen=True)
class Facts:
    """A record."""

    step: int
    loss: float
    names: dict[str, str]
    note: str | None = None


GOOD = {"step": 3, "loss": 0.5, "names": {"a": "b"}}


def test_what_fits_is_read_and_more_is_allowed() -> None:
    assert parsed(json.dumps(GOOD | {"later": [1]}), Facts) == Facts(3, 0.5, {"a": "b"})
    assert parsed('{"step": 3, "loss": 1, "names": {}}', Facts).loss == 1.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (json.dumps(GOOD | {"step": "3"}), "step: Input should be a valid integer"),
        (json.dumps(GOOD | {"step": True}), "step: "),
        (json.dumps(GOOD | {"step": 1.5}), "step: "),
        (json.dumps(GOOD | {"names": {"a": 1}}), r"names\.a: Input should be a valid string"),
        (json.dumps(GOOD | {"names": []}), "names: "),
        (json.dumps({"step": 3}), "loss: Field required"),
        ("[]", "Input should be an object"),
        ("null", "Input should be an object"),
        ("", "Invalid JSON"),
        ('{"step": 3,', "Invalid JSON"),
        (b"\xff\xfe\x00", "Invalid JSON"),
        ("[" * 100_000, "recursion limit"),
        ('{"a":' * 100_000, "recursion limit"),
    ],
)
def test_what_does_not_fit_is_named(text: str | bytes, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        parsed(text, Facts)


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_nothing_else_is_raised(data: str | bytes) -> None:
    for form in (Facts, dict[str, Any]):
        try:
            parsed(data, form)
        except RecordError:
            continue


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "state.json")
    for read in (read_yaml, lambda path: read_record(path, Facts)):
        with pytest.raises(OSError, match="is no file"):
            read(tmp_path / "state.json")


def test_a_record_has_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_BYTES", 10)
    (tmp_path / "a.json").write_text(json.dumps(GOOD))
    with pytest.raises(RecordError, match="bytes, more than 10"):
        read_record(tmp_path / "a.json", Facts)


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = [json.dumps(GOOD), json.dumps(GOOD)[:20], "[]", json.dumps(GOOD | {"step": 4})]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    assert [facts.step for facts in read_json_lines(tmp_path / "a.jsonl", Facts)] == [3, 4]
    assert caplog.text.count("left out a line") == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x [1]\nb: [*x, *x]", "alias"),
        ("a: " + "[" * 500 + "]" * 500, "more than 100 deep"),
        ("- 1", "no mapping"),
        ("", "no mapping"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: [1", "while parsing"),
        ("a: \x00", "unacceptable character"),
    ],
)
def test_yaml_is_plain_values_only(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(RecordError, match=message):
        read_yaml(tmp_path / "config.yaml")


def test_yaml_of_other_bytes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes(b"a: \xff\xfe")
    with pytest.raises(RecordError):
        read_yaml(tmp_path / "config.yaml")
    (tmp_path / "config.yaml").write_text("train: {steps: 3}\nnames: [a, b]")
    assert read_yaml(tmp_path / "config.yaml") == {"train": {"steps": 3}, "names": ["a", "b"]}


def test_differences_are_told_as_then_and_now() -> None:
    then, now = {"a": 1, "b": 2, "gone": 3}, {"a": 1, "b": 4, "new": None, "late": 5}
    assert differences(then, now) == ["b: 2 -> 4", "gone: 3 -> None", "late: None -> 5"]
