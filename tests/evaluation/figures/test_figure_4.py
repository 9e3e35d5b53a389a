"""The map of the instructions."""

import numpy as np

from ipai.evaluation.figures.figure_4 import coincidences


def test_crosses_that_hide_each_other_are_named() -> None:
    places = {"copy": [0, 0], "style": [10, 0], "object": [0.1, 0.1], "face": [0, 0.15], "structure": [10.1, 0]}
    told = coincidences({task: np.array(place, float) for task, place in places.items()}, extent=12.0)
    assert told == "the crosses of copy and object and face coincide; the crosses of style and structure coincide"
    assert coincidences({"copy": np.zeros(2), "style": np.ones(2)}, extent=12.0) == ""
