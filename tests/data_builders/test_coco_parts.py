"""Geometry, masks, licences and words of the COCO builder."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_builders.coco.geometry import borders_touched, condition_square, target_square
from data_builders.coco.masks import mask_of, usable
from data_builders.coco.words import counted, plural, with_article
from data_builders.engine.image_files import Box
from data_builders.engine.licences import allows_derivatives, is_permissive
from ipai.words import listed, one_line
from tests.helpers.coco_source import LICENCES, ellipse

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
SIDES = st.integers(20, 700)


@st.composite
def photo_and_box(draw: st.DrawFn) -> tuple[int, int, Box]:
    width, height = draw(SIDES), draw(SIDES)
    left, top = draw(st.floats(0, width - 2)), draw(st.floats(0, height - 2))
    return width, height, (left, top, draw(st.floats(1, width - left)), draw(st.floats(1, height - top)))


@given(photo_and_box())
def test_the_target_square_lies_in_the_photograph_and_shows_the_box(case: tuple[int, int, Box]) -> None:
    width, height, box = case
    (left, top, side), visible = target_square(width, height, box)
    assert side == min(width, height)
    assert 0 <= left <= width - side
    assert 0 <= top <= height - side
    assert 0 < visible <= 1
    if max(box[2:]) <= side - 1:
        assert visible == 1
        assert left <= box[0]
        assert box[0] + box[2] <= left + side
        assert top <= box[1]
        assert box[1] + box[3] <= top + side


def test_the_target_square_stays_in_the_middle_where_it_can() -> None:
    assert target_square(640, 480, (200, 10, 200, 400)) == ((80, 0, 480), 1.0)
    assert target_square(480, 640, (0, 0, 100, 100)) == ((0, 0, 480), 1.0)


def test_a_box_that_is_too_long_is_shown_in_part() -> None:
    square, visible = target_square(600, 300, (100, 0, 400, 300))
    assert square == (150, 0, 300)
    assert visible == pytest.approx(0.75)


@given(photo_and_box(), st.floats(0, 1))
def test_the_condition_square_holds_the_box_with_its_margin(case: tuple[int, int, Box], margin: float) -> None:
    box = case[2]
    left, top, side = condition_square(box, margin)
    free = margin * max(box[2:])
    assert side >= max(box[2:]) + 2 * free
    assert left <= box[0] - free + 1
    assert left + side >= box[0] + box[2] + free - 1
    assert top <= box[1] - free + 1
    assert top + side >= box[1] + box[3] + free - 1


@pytest.mark.parametrize(
    ("box", "touched"), [((10, 10, 50, 50), 0), ((0, 10, 50, 50), 1), ((0, 0, 100, 50), 3), ((1, 1, 98, 78), 4)]
)
def test_borders_touched(box: Box, touched: int) -> None:
    assert borders_touched(100, 80, box, border=2) == touched


def test_the_mask_of_polygons() -> None:
    square, other = [2, 3, 12, 3, 12, 8, 2, 8], [20, 0, 25, 0, 25, 5, 20, 5]
    mask = mask_of([square, other], width=30, height=10)
    assert mask.shape == (10, 30)
    assert mask[5, 5]
    assert mask[2, 22]
    assert not mask[5, 15]
    assert mask.sum() == pytest.approx(75, abs=20)


def test_the_mask_of_runs_is_column_major() -> None:
    mask = mask_of({"size": [3, 2], "counts": [1, 2, 3]}, width=2, height=3)
    assert np.array_equal(mask, [[False, False], [True, False], [True, False]])


@pytest.mark.parametrize(
    "segmentation",
    [
        None,
        [],
        [[]],
        [[1, 2, 3, 4]],
        [[1, 2, 3, 4, 5, 6, 7]],
        [[1, 2, 3, 4, 5, float("nan")]],
        [[1, 2, 3, 4, 5, "6"]],
        [[1, 2, 3, 4, 5, 1e9]],
        ["polygon"],
        "polygon",
        {"size": [20, 30], "counts": "abc"},
        {"size": [20, 30], "counts": [1, 2, 3]},
        {"size": [20, 30], "counts": [-1, 601]},
        {"size": [30, 20], "counts": [600]},
        {},
    ],
)
def test_unusable_segmentations(segmentation: object) -> None:
    assert usable(segmentation, width=30, height=20) is None


def test_the_usable_polygons_of_a_mixed_segmentation_are_kept() -> None:
    good = ellipse((2, 2, 10, 10))
    assert usable([[1, 2, 3, 4], good, []], width=30, height=20) == [good]


def test_permissive_licences_are_those_that_allow_commercial_derivatives() -> None:
    permissive = {key for key, (name, url) in LICENCES.items() if is_permissive({"name": name, "url": url})}
    assert permissive == {4, 5, 7, 8}
    assert not is_permissive(None)
    assert not is_permissive({"name": "x", "url": "http://creativecommons.org.example/licenses/by/2.0/"})


@pytest.mark.parametrize("name", ["CC BY-ND 2.0", "Attribution-NoDerivs License", "by-nc-nd", "No\u2010Derivatives"])
def test_where_name_and_address_disagree_the_stricter_is_believed(name: str) -> None:
    for kind in ("by", "by-nc"):
        licence = {"name": name, "url": f"https://creativecommons.org/licenses/{kind}/2.0/"}
        assert not is_permissive(licence)
        assert not allows_derivatives(licence)
    assert not is_permissive(
        {"name": "Attribution-NonCommercial", "url": "http://creativecommons.org/licenses/by/2.0/"}
    )
    assert is_permissive({"name": "Attribution, handmade", "url": "http://creativecommons.org/licenses/by/2.0/"})


def test_words() -> None:
    assert [with_article(name) for name in ("apple", "zebra", "scissors", "umbrella")] == [
        "an apple",
        "a zebra",
        "scissors",
        "an umbrella",
    ]
    assert [plural(name) for name in ("dog", "bus", "couch", "person", "sheep", "knife", "toothbrush")] == [
        "dogs",
        "buses",
        "couches",
        "people",
        "sheep",
        "knives",
        "toothbrushes",
    ]
    assert [counted("dog", n) for n in (1, 2, 5, 6)] == ["a dog", "two dogs", "five dogs", "several dogs"]
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert one_line("  a\n b\t\u0007 c \u2028d") == "a b c d"
