"""The pictures to try things with are those that the page offers."""

import numpy as np
from PIL import Image

from ipai.toyworld.example_pictures import example_pictures
from tests.helpers.building import ROOT


def test_the_folder_holds_them() -> None:
    """If not: python -m ipai.toyworld.example_pictures examples"""
    pictures = example_pictures()
    assert sorted(f"{name}.png" for name in pictures) == sorted(path.name for path in (ROOT / "examples").glob("*.png"))
    for name, picture in pictures.items():
        assert np.array_equal(np.asarray(picture), np.asarray(Image.open(ROOT / "examples" / f"{name}.png")))
