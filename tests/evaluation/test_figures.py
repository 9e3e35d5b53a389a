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
