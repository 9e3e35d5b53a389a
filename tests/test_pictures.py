import io

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from ipai.pictures import FORMATS, open_picture, to_rgb


def saved(picture: Image.Image, form: str) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form)
    return buffer.getvalue()


@pytest.mark.parametrize("form", FORMATS)
def test_the_known_formats_are_opened(form: str) -> None:
    assert to_rgb(open_picture(saved(Image.new("RGB", (4, 3), "red"), form))).size == (4, 3)


@pytest.mark.parametrize("form", ["EPS", "PDF", "ICO", "TGA", "PPM"])
def test_other_formats_are_not_even_looked_at(form: str) -> None:
    with pytest.raises(UnidentifiedImageError):
        open_picture(saved(Image.new("RGB", (16, 16), "red"), form))


@pytest.mark.parametrize("hole", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_are_refused(hole: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        to_rgb(Image.fromarray(np.array([[0.0, hole]], dtype=np.float32)))
