"""COCO segmentations: which are usable, and the mask of one that is.

pycocotools raises IndexError on `[]`, TypeError on a polygon of four numbers, allocates by the length of an outline,
and damages memory on a malformed compressed run-length code. So everything is checked before it sees it, and
compressed codes, which COCO's instances files do not hold, count as unusable.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask


def usable(segmentation: Any, width: int, height: int) -> Any:
    """The usable part of a segmentation (polygons, or a plain run-length code), or None if there is none.

    Args:
        segmentation: As it is in the file: a list of polygons `[x0, y0, x1, y1, ...]` in px, or `{"counts", "size"}`.
        width: Of the photograph, px.
        height: Of the photograph, px.
    """
    if isinstance(segmentation, list):
        reach = float(max(width, height))
        return [polygon for polygon in segmentation if _is_polygon(polygon, reach)] or None
    if isinstance(segmentation, dict):
        return segmentation if _is_runs(segmentation, width, height) else None
    return None


def mask_of(segmentation: Any, width: int, height: int) -> NDArray[np.bool_]:
    """The mask [height, width] of what `usable` returned; true on the object."""
    if isinstance(segmentation, list):
        runs = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    else:
        runs = coco_mask.frPyObjects(segmentation, height, width)
    return coco_mask.decode(runs).astype(bool)


def _is_polygon(polygon: Any, reach: float) -> bool:
    """At least three points, none further out than one picture side beyond the picture."""
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        return False
    try:
        return all(map(math.isfinite, polygon)) and min(polygon) >= -reach and max(polygon) <= 2 * reach
    except TypeError:  # something in it is no number
        return False


def _is_runs(segmentation: dict[str, Any], width: int, height: int) -> bool:
    """Plain counts that cover the picture exactly."""
    counts = segmentation.get("counts")
    return (
        segmentation.get("size") == [height, width]
        and isinstance(counts, list)
        and all(type(count) is int and count >= 0 for count in counts)
        and sum(counts) == width * height
    )
