"""Training teaches, and breaking the method shows. Margins: see docs/toy-world.md for the numbers behind them."""

from pathlib import Path

import pytest

from tests.learning.lesson import BROKEN, Lesson, build_pairs, teach

pytestmark = pytest.mark.learning

STYLE_MARGIN, PLACE_MARGIN = 0.25, 0.25
LOSS_MARGIN = {"copy": 0.98, "style": 0.98, "object": 0.98, "structure": 0.98, "face": 0.98}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_pairs(tmp_path_factory.mktemp("pairs"))


def listens(lesson: Lesson) -> bool:
    """The two instructions take different things from one image."""
    return lesson.style > STYLE_MARGIN and lesson.place > PLACE_MARGIN


def test_joint_training_lowers_every_loss_and_listens_to_instructions(shards: Path, tmp_path: Path) -> None:
    lesson = teach(shards, tmp_path / "run", seed=0)
    assert {task: ratio for task, ratio in lesson.losses.items() if ratio >= LOSS_MARGIN[task]} == {}
    assert listens(lesson), lesson


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_method_does_not_pass(shards: Path, tmp_path: Path, broken: str) -> None:
    assert not listens(teach(shards, tmp_path / "run", seed=0, broken=broken))
