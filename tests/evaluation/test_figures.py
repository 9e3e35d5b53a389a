"""What the figures compute; that they are drawn is tested on a run (tests/integration/test_toy_demo.py)."""

import math
from pathlib import Path

import numpy as np
import pytest

from ipai.errors import ConfigError, DataError
from ipai.evaluation.config import DataRoot
from ipai.evaluation.figures.config import FigureConfig, check
from ipai.evaluation.figures.figure_7 import evaluated_checkpoints, scores_over_training
from ipai.evaluation.figures.figures_8_and_10 import spreads
from tests.helpers.evaluations import write_evaluation


def test_wordings_and_noises_are_told_apart() -> None:
    pixels = np.zeros((2, 3, 4, 4, 3))
    pixels += np.array([0.0, 0.1])[:, None, None, None, None] + np.array([0.0, 0.3, 0.6])[:, None, None, None]
    assert spreads(pixels) == pytest.approx((0.1, 0.4))
    assert math.isnan(spreads(pixels[:1])[0])


def test_scores_over_training_join_start_checkpoints_and_end(tmp_path: Path) -> None:
    run = tmp_path / "joint"
    with pytest.raises(DataError, match="needs two"):
        evaluated_checkpoints(run)
    for name, seen in (("", 300), ("start", 0), ("step-00000002", 100)):
        write_evaluation(run / "evaluation" / name, ("face",), seen / 1000, samples_seen=seen)
    axes = scores_over_training([run], ["face/clip_i", "face/clip_p"]).axes
    seen, means = axes[0].lines[0].get_data()
    assert list(seen) == [0, 100, 300]
    assert means[2] - means[0] == pytest.approx(0.3)
    with pytest.raises(DataError, match="none of the runs was evaluated for style/clip_s"):
        scores_over_training([run], ["style/clip_s"])


def test_each_task_names_the_runs_that_were_asked_for_it(tmp_path: Path) -> None:
    for run, tasks in (("joint", ("style", "face")), ("single_style", ("style",)), ("single_face", ("face",))):
        for name, seen in (("", 100), ("start", 0)):
            write_evaluation(tmp_path / run / "evaluation" / name, tasks, 0.1, samples_seen=seen)
    runs = [tmp_path / name for name in ("joint", "single_style", "single_face")]
    wanted = ["style/clip_i", "style/clip_p", "face/clip_i", "face/clip_p"]
    legends = [axes.get_legend() for axes in scores_over_training(runs, wanted).axes]
    named = [None if legend is None else [text.get_text() for text in legend.get_texts()] for legend in legends]
    assert named == [["joint", "single_style"], None, ["joint", "single_face"], None]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"figure": 3}, "figure=3 is none of"),
        ({"figure": 6}, "needs runs="),
        ({"figure": 4}, "needs run="),
        ({"figure": 10, "run": "x"}, "needs controlnet= or lora="),
        ({"figure": 8, "run": "x", "task": "moon"}, "task=moon"),
    ],
)
def test_a_figure_that_cannot_be_drawn_is_told(changes: dict[str, object], says: str) -> None:
    settings = {"data": DataRoot(None), "output": "x", "scores": [], "task": "style", "sample": 0, "wordings": 2}
    settings |= {"seeds": 2, "lora_scale": 1.0, "seed": 0, "device": "cpu"}
    with pytest.raises(ConfigError, match=says):
        check(FigureConfig(**settings | changes))  # type: ignore[arg-type]
