"""Answers of which it is known what they took, and how measures go along with it."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from ipai.clip.model import TOY, ClipModel
from ipai.commands.measures import main
from ipai.evaluation.measures.agreement import Correlation, Line, agreement, correlation
from ipai.evaluation.measures.known_answers import KnownAnswers, known_answers, tasks_and_kinds
from ipai.evaluation.measures.measures import MEASURES, Measure
from ipai.evaluation.measures.page import page
from ipai.toyworld.oracles import load_oracles
from tests.integration.conftest import run

COUNT = 60


def test_correlations_are_spearmans_and_their_intervals_hold_them() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 4, 200) / 3.0
    scores = truth + random.normal(0, 0.5, 200)
    found = correlation(scores, truth, seed=0)
    assert found.value == pytest.approx(spearmanr(scores, truth).statistic)
    assert found.low < found.value < found.high
    assert found.n == 200
    assert correlation(np.ones(200), truth, seed=0) == Correlation(0.0, 0.0, 0.0, 200)
    truth[:50] = np.nan
    assert correlation(scores, truth, seed=0).n == 150


@pytest.mark.slow
@pytest.mark.parametrize(("task", "kind"), tasks_and_kinds())
def test_answers_take_from_nothing_to_all_and_an_oracle_sees_it(task: str, kind: str) -> None:
    answers = known_answers(task, kind, COUNT, seed=0)
    taken = answers.taken[~np.isnan(answers.taken)]
    assert (taken.min(), taken.max()) == (0.0, 1.0)
    assert known_answers(task, kind, COUNT, seed=0).taken.tolist() == pytest.approx(answers.taken.tolist(), nan_ok=True)
    if len(answers.leaked):
        known = ~np.isnan(answers.taken) & ~np.isnan(answers.leaked)
        assert abs(spearmanr(answers.taken[known], answers.leaked[known]).statistic) < 0.35  # drawn independently
    else:
        assert task == "copy"


def test_the_share_that_was_taken_is_what_an_oracle_reads() -> None:
    """On the style alone, which has one factor."""
    answers = known_answers("style", "scenes", COUNT, seed=0)
    pixels = np.stack([np.asarray(picture) for picture in [*answers.answers, *answers.conditions]])

    read = load_oracles()["scenes"].read(torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous())["style"]
    same = (read[:COUNT] == read[COUNT:]).numpy()
    known = ~np.isnan(answers.taken)
    assert (same[known] == answers.taken[known]).mean() > 0.95


def test_a_measure_that_sees_what_was_taken_tells_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    def honest(asked: KnownAnswers, _: object) -> np.ndarray:
        return np.nan_to_num(asked.taken)

    def fooled(asked: KnownAnswers, _: object) -> np.ndarray:
        return np.nan_to_num(asked.leaked)

    for name in list(MEASURES):
        monkeypatch.delitem(MEASURES, name)
    monkeypatch.setitem(MEASURES, "honest", Measure("honest", honest))
    monkeypatch.setitem(MEASURES, "fooled", Measure("fooled", fooled))
    lines = agreement([("style", "scenes")], MEASURES, ClipModel(TOY, None), COUNT, 0, lambda _: None)
    assert [(line.measure, line.tells_the_truth) for line in lines] == [("honest", True), ("fooled", False)]
    assert lines[0].taken.value == pytest.approx(1.0)
    text = page(lines, MEASURES, COUNT, "toy", "a command")
    assert "| style, scenes | **honest** | +1.00" in text
    assert "| style, scenes | fooled | " in text


def test_what_rises_with_both_alike_is_not_the_truth() -> None:
    both = Line("style", "scenes", "clip_i", Correlation(0.5, 0.4, 0.6, 50), Correlation(0.5, 0.4, 0.6, 50))
    assert not both.tells_the_truth
    assert Line("copy", "scenes", "clip_i", Correlation(0.5, 0.4, 0.6, 50), None).tells_the_truth


def test_every_measure_is_a_number_for_each_answer() -> None:
    answers, clip = known_answers("face", "portraits", 12, seed=0), ClipModel(TOY, None)
    for name, measure in MEASURES.items():
        scores = measure.score(answers, clip)
        assert scores.shape == (12,), name
        assert np.isfinite(scores).all(), name
    same = KnownAnswers(**{**vars(answers), "answers": answers.conditions})
    for name in ("clip_i", "edge_f1", "palette"):
        assert MEASURES[name].score(same, clip) == pytest.approx(np.ones(12), abs=1e-5)


@pytest.mark.slow
def test_the_command_writes_the_page(tmp_path: Path) -> None:
    done = run("scripts/measures.py", "--count", "12", "--output", str(tmp_path / "measures.md"))
    assert done.returncode == 0, done.stdout
    text = (tmp_path / "measures.md").read_text()
    assert text.count("| style, scenes |") == len(MEASURES)
    refused = run("scripts/measures.py", "--count", "2")
    assert refused.returncode == 2
    assert "at least 10" in refused.stdout


def test_weights_that_need_others_beside_them_are_not_ignored(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["measures.py", "--lpips", "heads.pth"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "--lpips needs --vgg beside it" in capsys.readouterr().err


def test_a_leak_that_could_not_be_estimated_makes_nothing_bold() -> None:
    few = correlation(np.array([0.1, np.nan, 0.3]), np.array([0.0, 1.0, 1.0]), 0)
    assert (few.n, np.isnan(few.value)) == (2, True)
    sure = Correlation(0.9, 0.8, 1.0, 40)
    assert not Line("style", "scenes", "face_id", sure, few).tells_the_truth
    assert Line("copy", "scenes", "face_id", sure, None).tells_the_truth
