"""Factors: every picture is addressed by its seed and number alone."""

from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipai.toyworld.factors import CHOICES, IDENTITY, Portraits, Scenes, draw_portraits, draw_scenes

Draw = Callable[[int, int, int], Scenes | Portraits]


@pytest.mark.parametrize("draw", [draw_scenes, draw_portraits])
@settings(max_examples=30)
@given(seed=st.integers(0, 2**40), start=st.integers(0, 10_000), count=st.integers(1, 40), data=st.data())
def test_a_picture_does_not_depend_on_where_the_drawing_starts(
    draw: Draw, seed: int, start: int, count: int, data: st.DataObject
) -> None:
    inner = data.draw(st.integers(0, count - 1))
    whole, alone = draw(seed, start, count), draw(seed, start + inner, 1)
    for item in fields(whole):
        assert np.array_equal(getattr(whole, item.name)[inner : inner + 1], getattr(alone, item.name))


@pytest.mark.parametrize("draw", [draw_scenes, draw_portraits])
def test_every_choice_of_every_factor_is_drawn_about_equally_often(draw: Draw) -> None:
    pictures = draw(3, 0, 4000)
    for name, choices in CHOICES.items():
        if hasattr(pictures, name):
            counts = np.bincount(getattr(pictures, name), minlength=len(choices))
            assert counts.min() > 0.75 * 4000 / len(choices)


def test_factors_are_independent_of_each_other_and_of_the_seed() -> None:
    scenes, others = draw_scenes(1, 0, 4000), draw_scenes(2, 0, 4000)
    assert abs(np.corrcoef(scenes.object, scenes.colour)[0, 1]) < 0.05
    assert abs(np.corrcoef(scenes.object, others.object)[0, 1]) < 0.05
    assert len({tuple(row) for row in np.stack([getattr(draw_portraits(1, 0, 4000), n) for n in IDENTITY], 1)}) > 1500


def test_rows_can_be_chosen() -> None:
    scenes = draw_scenes(1, 0, 6)
    assert len(scenes[2:4]) == 2
    assert np.array_equal(scenes[np.array([5, 0])].object, scenes.object[[5, 0]])
