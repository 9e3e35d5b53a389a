"""Which pixels polygons cover, by another way than the renderer's."""

import numpy as np
from PIL import Image, ImageDraw

_FINER = 8


def covered(polygons: list[np.ndarray], side: int) -> np.ndarray:
    """Bool [side, side]: pixels that lie mostly inside; a polygon inside another is a hole."""
    inside = np.zeros((side * _FINER, side * _FINER), bool)
    for polygon in polygons:
        image = Image.new("1", (side * _FINER, side * _FINER))
        ImageDraw.Draw(image).polygon([tuple(point) for point in (polygon * _FINER).tolist()], fill=1)
        inside ^= np.asarray(image)
    return inside.reshape(side, _FINER, side, _FINER).mean((1, 3)) > 0.5
