"""Conditions on records: what they keep, what they count, and what is no condition."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipai.data.sample_filter import SampleFilter, filtered
from ipai.data.shards import ShardSet
from ipai.errors import ConfigError, DataError
from ipai.training.datasets import open_all_shards
from tests.helpers.composing import compose
from tests.helpers.shard_writer import sample, write_shard

RECORD = {
    "scores": {"clip_t": 0.3, "clip_s": 0.8},
    "source": {"licence": {"name": "cc0"}, "id": "a"},
    "prompt": "a cat",
}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("scores.clip_t > 0.25", True),
        ("scores.clip_t > 0.3", False),
        ("scores.clip_t >= 0.3 and scores.clip_s != 0.8", False),
        ("scores.clip_t > 0.9 or prompt == 'a cat'", True),
        ("not scores.clip_t > 0.9", True),
        ("source.licence.name in ['cc0', 'cc-by-4.0']", True),
        ("source.licence.name not in ('cc0',)", False),
        ("scores.clip_t > -1", True),
        ("scores.absent > 0.1", False),
        ("prompt > 3", False),  # a text against a number
        ("source > 3", False),  # a whole group of fields
    ],
)
def test_what_is_kept(text: str, kept: bool) -> None:
    assert (SampleFilter(text).refusal(RECORD) is None) is kept


def test_a_refusal_names_the_part_or_the_missing_field() -> None:
    both = SampleFilter("scores.clip_t > 0.1 and scores.clip_s > 0.9")
    assert both.refusal(RECORD) == "scores.clip_s > 0.9"
    assert both.refusal({"scores": {"clip_t": 1}}) == "no scores.clip_s"
    assert both.fields == ("scores.clip_t", "scores.clip_s")


def test_records_of_another_shape_are_no_trouble() -> None:
    odd: list[Any] = [{}, {"scores": None}, {"scores": []}, {"scores": {"clip_s": "high"}}]
    told = [SampleFilter("scores.clip_s > 0").refusal(record) for record in odd]
    assert told == ["no scores.clip_s", "no scores.clip_s", "no scores.clip_s", "scores.clip_s > 0"]


@pytest.mark.parametrize(
    "text",
    [
        "", "scores.clip_t", "0.3 < scores.clip_t", "scores.clip_t > other.field", "0 < scores.clip_t < 1",
        "__import__('os').system('x') > 1", "len(prompt) > 3", "scores['clip_t'] > 1", "(lambda: 1)() > 0", "x is 3",
        "prompt in 'a cat'", "prompt == ['a']", "scores.clip_t > 1; import os", "a.b.c > [x for x in y]",
        "x > 1 if y else 2", "not " * 3000 + "x > 1", "f'{x}' > 1", "prompt == 'a' + 'b'", "x > 1j", "x == None",
        "x == b'a'",
    ],
)  # fmt: skip
def test_what_is_no_condition_is_refused_and_never_run(text: str) -> None:
    with pytest.raises(ConfigError, match="the condition "):
        SampleFilter(text)


@given(st.text(max_size=60))
def test_any_text_is_a_condition_or_a_clear_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        SampleFilter(text).refusal(RECORD)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for split, first, scores in (("train", 0, (0.1, 0.2, 0.3, 0.4)), ("val", 9, (0.5, 0.0))):
        samples = [sample("style", first + number) for number in range(len(scores))]
        for members, score in zip(samples, scores, strict=True):
            members["json"] = json.dumps(json.loads(members["json"]) | {"scores": {"clip_s": score}}).encode()
        write_shard(tmp_path / "style" / f"{split}-000000.tar", samples)
    return tmp_path


def test_the_samples_that_meet_it_keep_their_order_and_content(root: Path) -> None:
    whole = ShardSet.open(root, "style", "train")
    kept, refused = filtered(whole, SampleFilter("scores.clip_s > 0.15 and scores.clip_s < 0.35"))
    assert [kept.key(index) for index in range(len(kept))] == ["style-0001", "style-0002"]
    assert kept.read(1) == whole.read(2)
    assert refused == {"scores.clip_s > 0.15": 1, "scores.clip_s < 0.35": 1}
    assert (kept.counts, list(kept.indices_in(0))) == ([2], [0, 1])
    assert kept.digest() != whole.digest()


def test_a_wrong_field_and_an_empty_rest_are_told(root: Path) -> None:
    shards = ShardSet.open(root, "style", "train")
    with pytest.raises(ConfigError, match=r"reads scores\.x, which no record of style has; there are .*scores\.clip_s"):
        filtered(shards, SampleFilter("scores.x > 0"))
    with pytest.raises(DataError, match=r"leaves no train sample of style \(scores\.clip_s > 9: 4\)"):
        filtered(shards, SampleFilter("scores.clip_s > 9"))


def test_training_uses_what_is_left(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "ipai")
    words = ("experiment=single_style", "recipe=smoke", f"data.root={root}", "data.filter.style='scores.clip_s >= 0.2'")
    config = compose(*words)
    left = {split: len(open_all_shards(config, ["style"], split)["style"]) for split in ("train", "val")}
    assert left == {"train": 3, "val": 1}
    assert "keeps 3 of 4 train samples of style; left out: scores.clip_s >= 0.2: 1" in caplog.text
