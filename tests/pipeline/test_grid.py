"""Labels of grids, in any script."""

import pytest
from PIL import Image, ImageChops

from ipai.pipeline.grid import grid

PICTURE = Image.new("RGB", (240, 20), "white")


@pytest.mark.parametrize("label", ["ein grüner Stern", "звезда", "一只猫", "🐈"])
def test_a_label_is_drawn_or_told_by_its_letters_numbers(label: str) -> None:
    """Two texts of different letters never look the same, as they do where a font draws boxes."""
    drawn, other = (grid([[PICTURE]], [text]) for text in (label, label[:-1] + "丂"))
    assert drawn.convert("L").getextrema()[0] < 100
    assert drawn.size == other.size
    assert ImageChops.difference(drawn, other).getbbox()


def test_a_letter_that_no_font_has_is_its_number() -> None:
    absent = grid([[PICTURE]], [chr(0x10FFFE)])
    assert ImageChops.difference(absent, grid([[PICTURE]], ["[U+10FFFE]"])).getbbox() is None
