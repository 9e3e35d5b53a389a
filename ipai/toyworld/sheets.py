"""Pictures of pictures: contact sheets."""

from collections.abc import Sequence

import numpy as np
from PIL import Image
from torch import Tensor

_GAP = 2  # px between pictures


def sheet(rows: Sequence[Tensor], enlarge: int = 1) -> Image.Image:
    """A grid of pictures; each row is uint8 [N, 3, S, S], the same N in all of them."""
    count, _, side, _ = rows[0].shape
    step = side + _GAP
    canvas = np.full((len(rows) * step - _GAP, count * step - _GAP, 3), 255, np.uint8)
    for y, row in enumerate(rows):
        for x, picture in enumerate(row.permute(0, 2, 3, 1).numpy()):
            canvas[y * step : y * step + side, x * step : x * step + side] = picture
    image = Image.fromarray(canvas)
    return image.resize((image.width * enlarge, image.height * enlarge), Image.Resampling.NEAREST)
