"""Scores beside finished shards: right, resumable, and read where records are filtered."""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from ipai.clip.model import TOY, ClipModel
from ipai.clip.scores import clip_i, clip_s, clip_score
from ipai.commands.score_shards import main
from ipai.data.inspection import survey
from ipai.data.sample_filter import SampleFilter, filtered
from ipai.data.shard_scores import read_scores, scored_record, scores_path
from ipai.data.shards import RawSample, ShardSet
from ipai.errors import DataError
from ipai.evaluation.scoring.scoring_settings import CLIP_SCORES
from ipai.evaluation.scoring.shard_scorers import Scorer, score_shard, scorers
from tests.helpers.shard_writer import encode, noise_image, sample, write_shard, write_shards

ALL = (*CLIP_SCORES, "sharpness")


@pytest.fixture(scope="module")
def clip() -> ClipModel:
    return ClipModel(TOY, None)


def nothing(_count: int) -> None:
    pass


def test_scores_are_those_of_the_pictures_and_texts(tmp_path: Path, clip: ClipModel) -> None:
    write_shards(tmp_path, "object", 5, shards=1)
    held = ShardSet.open(tmp_path, "object", "train")
    assert score_shard(held, 0, scorers(ALL, clip, {}), nothing) == 0
    values = read_scores(held.files[0]).values
    samples = [held.read(index) for index in range(5)]
    targets, conditions = (clip.pictures([getattr(one, name) for one in samples]) for name in ("target", "condition"))
    prompts, captions, names = (
        clip.texts(texts)
        for texts in ([f"picture {n}" for n in range(5)], ["a condition"] * 5, ["a photo of a zebra"] * 5)
    )
    for name, wanted in (
        ("clip_i", clip_i(targets, conditions)),
        ("clip_t", clip_score(targets, prompts)),
        ("clip_s", clip_s(targets, prompts, conditions, captions)),
        ("clip_slot", clip_score(targets, names)),
    ):
        found = torch.tensor([values[name][one.key] for one in samples], dtype=torch.float64)
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-6)


def test_what_is_sharp_scores_higher(tmp_path: Path) -> None:
    sharp, soft = noise_image(0, 64), noise_image(0, 8).resize((64, 64))
    pair = [sample("copy", 0) | {"target.png": encode(sharp)}, sample("copy", 1) | {"target.png": encode(soft)}]
    write_shard(tmp_path / "copy" / "train-000000.tar", pair)
    held = ShardSet.open(tmp_path, "copy", "train")
    score_shard(held, 0, scorers(["sharpness"], None, {}), nothing)
    values = read_scores(held.files[0]).values["sharpness"]
    assert values["copy-0000"] > 10 * values["copy-0001"]


def test_a_pass_goes_on_and_computes_nothing_twice(tmp_path: Path) -> None:
    write_shards(tmp_path, "copy", 6, shards=2)
    held, calls = ShardSet.open(tmp_path, "copy", "train"), []

    def counted(name: str) -> Scorer:
        def values(samples: Sequence[RawSample]) -> dict[str, float]:
            calls.append((name, len(samples)))
            return {one.key: 1.0 for one in samples}

        return Scorer(f"{name} of today", values)

    score_shard(held, 0, {"a": counted("a")}, nothing)
    for number in range(2):
        score_shard(held, number, {"a": counted("a"), "b": counted("b")}, nothing)
    assert calls == [("a", 3), ("b", 3), ("a", 3), ("b", 3)]
    score_shard(held, 0, {"a": Scorer("another", counted("c").values)}, nothing)
    assert calls[-1] == ("c", 3)
    assert read_scores(held.files[0]).by == {"a": "another", "b": "b of today"}


def test_filters_and_inspection_read_them(tmp_path: Path) -> None:
    write_shards(tmp_path, "copy", 6, shards=2)
    held = ShardSet.open(tmp_path, "copy", "train")
    order = {held.key(index): float(index) for index in range(6)}
    for number in range(2):
        score_shard(
            held, number, {"mine": Scorer("me", lambda some: {one.key: order[one.key] for one in some})}, nothing
        )
    kept, _ = filtered(held, SampleFilter("scores.mine >= 4"))
    assert [kept.key(index) for index in range(len(kept))] == [held.key(4), held.key(5)]
    assert sorted(survey(tmp_path, "copy", nothing).scores["mine"]) == [0, 1, 2, 3, 4, 5]
    for number in range(2):
        score_shard(
            held, number, {"mine": Scorer("you", lambda some: dict.fromkeys([one.key for one in some], 9.0))}, nothing
        )
    assert len(filtered(held, SampleFilter("scores.mine >= 9"))[0]) == 6, "what was scored anew counts at once"
    for number in range(2):
        score_shard(
            held, number, {"mine": Scorer("me", lambda some: {one.key: order[one.key] for one in some})}, nothing
        )
    assert scored_record(held, 3)["scores"] == {"mine": 3.0}
    assert "scores" not in held.record(3)


def test_what_cannot_be_decoded_has_no_score_and_is_counted(tmp_path: Path) -> None:
    write_shard(
        tmp_path / "copy" / "train-000000.tar", [sample("copy", 0), sample("copy", 1) | {"target.png": b"none"}]
    )
    held = ShardSet.open(tmp_path, "copy", "train")
    assert score_shard(held, 0, scorers(["sharpness"], None, {}), nothing) == 1
    assert set(read_scores(held.files[0]).values["sharpness"]) == {"copy-0000"}
    kept, refused = filtered(held, SampleFilter("scores.sharpness > 0"))
    assert (len(kept), refused) == (1, {"no scores.sharpness": 1})


def test_scores_of_another_shard_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    write_shards(tmp_path, "copy", 4, shards=1)
    held = ShardSet.open(tmp_path, "copy", "train")
    score_shard(held, 0, scorers(["sharpness"], None, {}), nothing)
    kept = tmp_path / "kept"
    shutil.copy(scores_path(held.files[0]), kept)
    write_shards(tmp_path, "copy", 5, shards=1)
    with pytest.raises(DataError, match="built anew since"):
        read_scores(held.files[0])
    scores_path(held.files[0]).write_text("{")
    with pytest.raises(DataError, match="is damaged"):
        read_scores(held.files[0])


@pytest.mark.slow
def test_the_command_scores_every_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("train", "val"):
        write_shards(tmp_path, "style", 4, split=split)
    words = ["score_shards.py", str(tmp_path), "--clip", "toy", "--scores", "clip_s"]
    for part in ("1/3", "2/3", "3/3"):
        monkeypatch.setattr(sys, "argv", [*words, "--part", part])
        assert main() == 0
    scored = {path.name: json.loads(path.read_text()) for path in (tmp_path / "style").glob("*.scores")}
    assert sorted(scored) == [f"{split}-00000{number}.scores" for split in ("train", "val") for number in range(2)]
    assert all(np.isfinite(list(one["values"]["clip_s"].values())).all() for one in scored.values())
    monkeypatch.setattr(sys, "argv", [*words, "--part", "4/3"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "4/3 is no part" in capsys.readouterr().err
