"""Which squares are cut: the target from the photograph, the condition around the object. All in its pixels."""

import math

from data_builders.engine.image_files import Box, Square


def target_square(width: int, height: int, box: Box) -> tuple[Square, float]:
    """The square of side `min(width, height)` nearest to the middle of the photograph that holds the object's box.

    Where the box is longer than the side, the square is centred on the box. Returned with it is the share of the box
    that lies inside: 1 wherever the box fits.

    >>> target_square(640, 480, (500.0, 100.0, 100.0, 100.0))
    ((120, 0, 480), 1.0)
    """
    side = min(width, height)
    left, seen_x = _place(width, side, box[0], box[2])
    top, seen_y = _place(height, side, box[1], box[3])
    return (left, top, side), seen_x * seen_y


def condition_square(box: Box, margin: float) -> Square:
    """The square around the middle of `box` with `margin` (a share of the longer side) free on each side of that."""
    left, top, width, height = box
    side = math.ceil(max(width, height) * (1 + 2 * margin))
    return round(left + width / 2 - side / 2), round(top + height / 2 - side / 2), side


def borders_touched(width: int, height: int, box: Box, border: float) -> int:
    """How many borders of the photograph (0..4) the box comes within `border` px of."""
    left, top, box_width, box_height = box
    gaps = (left, top, width - (left + box_width), height - (top + box_height))
    return sum(gap <= border for gap in gaps)


def _place(length: int, side: int, start: float, extent: float) -> tuple[int, float]:
    """Where along one axis the square starts, and the share of `start..start+extent` that it holds."""
    first, last = math.ceil(start + extent - side), math.floor(start)
    wanted = (length - side) // 2 if first <= last else round(start + (extent - side) / 2)
    if first <= last:
        wanted = min(max(wanted, first), last)
    place = min(max(wanted, 0), length - side)
    hidden = max(0.0, place - start) + max(0.0, start + extent - (place + side))
    return place, max(0.0, 1 - hidden / extent)
