"""Pictures of the toy world."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ipai.toyworld.factors import EYES, MARKS, OBJECTS, SIZES, STYLES, Portraits, Scenes, draw_portraits, draw_scenes
from ipai.toyworld.layers import RADII, centres_of, landmarks_of, scene_layers
from ipai.toyworld.render import render
from ipai.toyworld.shapes import place_outline
from tests.helpers.polygons import covered

Draw = Callable[[int, int, int], Scenes | Portraits]
BOTH = pytest.mark.parametrize("draw", [draw_scenes, draw_portraits])


@BOTH
def test_a_picture_does_not_depend_on_its_batch(draw: Draw) -> None:
    pictures = draw(1, 0, 40)
    whole = render(pictures)
    assert all(np.array_equal(render(pictures[row : row + 1])[0], whole[row]) for row in range(0, 40, 7))
    assert np.array_equal(render(pictures[np.arange(39, -1, -1)]), whole[::-1])


@BOTH
@pytest.mark.parametrize("side", [48, 96, 218])
def test_any_size_shows_the_same(draw: Draw, side: int) -> None:
    pictures = draw(1, 0, 8)
    large, small = render(pictures, side), render(pictures, 64)
    assert large.shape == (8, side, side, 3)
    assert large.dtype == np.uint8
    means = large.mean((1, 2)), small.mean((1, 2))
    assert np.abs(means[0] - means[1]).max() < 12


@BOTH
def test_every_style_paints_the_same_picture_in_its_own_way(draw: Draw) -> None:
    one = draw(4, 0, 1)
    pictures = [render(replace(one, style=np.array([style])))[0].astype(int) for style in range(len(STYLES))]
    for index, first in enumerate(pictures):
        for second in pictures[index + 1 :]:
            assert np.abs(first - second).mean() > 2


@pytest.mark.parametrize("kind", range(len(OBJECTS)), ids=OBJECTS)
def test_an_outline_covers_what_is_drawn(kind: int) -> None:
    scenes = replace(draw_scenes(2, 0, 6), object=np.full(6, kind))
    drawn = scene_layers(scenes, 64)[0].distance < 0
    for row in range(6):
        centre = centres_of(scenes)[row] * 64
        radius = float(RADII[scenes.size[row]]) * 64
        outline = place_outline(OBJECTS[kind], tuple(centre), radius, float(scenes.angle[row]))
        assert (covered(outline, 64) ^ drawn[row]).mean() < 0.01


def test_eyes_are_where_the_landmarks_say() -> None:
    portraits = draw_portraits(3, 0, 60)
    plain = (portraits.glasses == 0) & (portraits.eyes == EYES.index("dot"))
    portraits = replace(portraits[plain], style=np.zeros(plain.sum(), np.int64))  # flat, black eyes
    pixels, points = render(portraits), landmarks_of(portraits) * 64
    for picture, landmarks in zip(pixels, points, strict=True):
        for x, y in landmarks[:2]:
            assert picture[int(y), int(x)].max() < 40


def test_landmarks_are_in_order() -> None:
    points = landmarks_of(draw_portraits(3, 0, 100))
    assert (points[:, 0, 0] < points[:, 1, 0]).all()  # left eye left of right
    assert (points[:, 3, 0] < points[:, 4, 0]).all()
    assert (points[:, :2, 1].max(1) < points[:, 2, 1]).all()  # eyes above the nose
    assert (points[:, 2, 1] < points[:, 3:, 1].min(1)).all()


@pytest.mark.parametrize("mark", MARKS[1:])
def test_a_mark_covers_a_good_part_of_every_object_in_every_size(mark: str) -> None:
    count = len(OBJECTS) * len(SIZES)
    scenes = replace(
        draw_scenes(0, 0, count),
        object=np.arange(count) % len(OBJECTS),
        size=np.arange(count) // len(OBJECTS),
        mark=np.full(count, MARKS.index(mark)),
    )
    whole, marked = (layer.distance < 0 for layer in scene_layers(scenes, 64))
    assert not (marked & ~whole).any()
    share = marked.sum((1, 2)) / whole.sum((1, 2))
    assert share.min() > 0.2
    assert share.max() < 0.8


def test_what_is_plain_has_one_tone() -> None:
    scenes = replace(draw_scenes(0, 0, 10), mark=np.zeros(10, np.int64))
    assert not (scene_layers(scenes, 64)[1].distance < 0).any()
