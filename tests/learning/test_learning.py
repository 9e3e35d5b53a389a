"""Training teaches, and breaking the method shows. docs/toy-world.md has the numbers that the margins come from."""

from pathlib import Path

import pytest

from tests.learning.lesson import BROKEN, Lesson, build_pairs, teach

pytestmark = pytest.mark.learning

PLACE_TOLD_APART, PLACE_LET_GO = 0.25, 0.6
LOSS_MARGIN = {"copy": 0.99, "style": 0.87, "object": 0.86, "structure": 0.93, "face": 0.92}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_pairs(tmp_path_factory.mktemp("pairs"))


def listens(lesson: Lesson) -> bool:
    """ "Use the composition" takes the place and "use the style" lets it go, which IPAdapter+ always takes."""
    return lesson.place_told_apart > PLACE_TOLD_APART and lesson.place_let_go > PLACE_LET_GO


def test_joint_training_lowers_every_loss_and_listens_to_instructions(shards: Path, tmp_path: Path) -> None:
    lesson = teach(shards, tmp_path / "run", seed=0)
    assert {task: ratio for task, ratio in lesson.losses.items() if ratio >= LOSS_MARGIN[task]} == {}
    assert listens(lesson), lesson
    assert lesson.style["object"] < lesson.before["object"], lesson


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_method_does_not_pass(shards: Path, tmp_path: Path, broken: str) -> None:
    assert not listens(teach(shards, tmp_path / "run", seed=0, broken=broken))
