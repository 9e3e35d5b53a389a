"""The outlines of the objects, and the signed distance to them.

An outline is one or more closed polygons in units of the object's radius, y down; the second polygon of the ring is
its hole. A distance is negative inside.
"""

from functools import lru_cache

import cv2
import numpy as np

from ipai.toyworld.factors import OBJECTS

_ROUND = 32  # corners of a circle
_REACH = 2.6  # half side of the square on which distances are tabulated, in radii
_CELLS = 160  # of that square, a side


def _circle(radius: float = 1.0, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    turns = np.linspace(0, 2 * np.pi, _ROUND, endpoint=False)
    return np.stack([x + radius * np.cos(turns), y + radius * np.sin(turns)], axis=1)


def _star() -> np.ndarray:
    turns = np.arange(10) * np.pi / 5 - np.pi / 2
    radii = np.where(np.arange(10) % 2 == 0, 1.08, 0.46)
    return np.stack([radii * np.cos(turns), radii * np.sin(turns)], axis=1)


def _heart() -> np.ndarray:
    turns = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    x = 16 * np.sin(turns) ** 3
    y = -(13 * np.cos(turns) - 5 * np.cos(2 * turns) - 2 * np.cos(3 * turns) - np.cos(4 * turns))
    return np.stack([x, y + 2], axis=1) / 16


def _moon() -> np.ndarray:
    outer = np.linspace(0.72, 2 * np.pi - 0.72, 28)
    inner = np.linspace(2 * np.pi - 1.08, 1.08, 20)
    horn = np.stack([np.cos(outer), np.sin(outer)], axis=1)
    x = np.cos(0.72) + 0.75 * (np.cos(inner) - np.cos(1.08))
    bite = np.stack([x, 0.75 * np.sin(inner)], axis=1)
    moon: np.ndarray = np.concatenate([horn, bite])
    return moon + np.array([0.22, 0])


def _points(*points: tuple[float, float]) -> np.ndarray:
    return np.array(points, dtype=np.float64)


_CROSS = 0.34
OUTLINES: dict[str, list[np.ndarray]] = {
    "ball": [_circle()],
    "box": [_points((-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85))],
    "triangle": [_points((0, -1.0), (1.05, 0.85), (-1.05, 0.85))],
    "star": [_star()],
    "heart": [_heart()],
    "cross": [
        _points(
            *((-_CROSS, -1), (_CROSS, -1), (_CROSS, -_CROSS), (1, -_CROSS), (1, _CROSS), (_CROSS, _CROSS)),
            *((_CROSS, 1), (-_CROSS, 1), (-_CROSS, _CROSS), (-1, _CROSS), (-1, -_CROSS), (-_CROSS, -_CROSS)),
        )
    ],
    "ring": [_circle(), _circle(0.5)],
    "moon": [_moon()],
    "house": [
        _points((0, -1.05), (1.0, -0.15), (0.72, -0.15), (0.72, 0.9), (-0.72, 0.9), (-0.72, -0.15), (-1.0, -0.15))
    ],
    "tree": [
        _points(
            *((0, -1.1), (0.62, -0.35), (0.36, -0.35), (0.86, 0.42), (0.18, 0.42), (0.18, 1.0)),
            *((-0.18, 1.0), (-0.18, 0.42), (-0.86, 0.42), (-0.36, -0.35), (-0.62, -0.35)),
        )
    ],
}


def place_outline(name: str, centre: tuple[float, float], radius: float, angle: float) -> list[np.ndarray]:
    """The polygons of an object in the picture, px [corners, 2], turned clockwise by `angle` (radians)."""
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return [np.asarray(centre) + radius * polygon @ turn for polygon in OUTLINES[name]]


def object_distance(
    objects: np.ndarray, centres: np.ndarray, radii: np.ndarray, angles: np.ndarray, side: int
) -> np.ndarray:
    """Signed distance of every pixel's middle to an object's outline.

    Args:
        objects: Indices into OBJECTS, [N].
        centres: px, [N, 2] (x, y).
        radii: px, [N].
        angles: Radians, clockwise, [N].
        side: Of the picture, px.

    Returns:
        px, fp32 [N, side, side].
    """
    result = np.empty((len(objects), side, side), np.float32)
    scale = _CELLS / (2 * _REACH)  # cells a radius
    for index, (kind, centre, radius, angle) in enumerate(zip(objects, centres, radii, angles, strict=True)):
        cosine, sine = np.cos(angle) / radius * scale, np.sin(angle) / radius * scale
        turn = np.array([[cosine, sine], [-sine, cosine]])
        offset = _CELLS / 2 - 0.5 + turn @ (0.5 - centre)  # pixel 0 has its middle at 0.5
        table = _distance_table(OBJECTS[kind])
        near = cv2.warpAffine(
            table,
            np.column_stack([turn, offset]),
            (side, side),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderValue=_REACH,
        )
        result[index] = near * radius
    return result


@lru_cache(maxsize=len(OBJECTS))
def _distance_table(name: str) -> np.ndarray:
    """Signed distance on a grid of `_CELLS` x `_CELLS` cells over +-`_REACH` radii, in radii."""
    ticks = ((np.arange(_CELLS) + 0.5) / _CELLS * 2 - 1) * _REACH
    x, y = np.meshgrid(ticks, ticks)
    nearest = np.full(x.shape, np.inf)
    inside = np.zeros(x.shape, bool)
    for polygon in OUTLINES[name]:
        for start, end in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            side, along = end - start, (x - start[0], y - start[1])
            share = np.clip((along[0] * side[0] + along[1] * side[1]) / (side @ side), 0, 1)
            nearest = np.minimum(nearest, np.hypot(along[0] - share * side[0], along[1] - share * side[1]))
            crosses = (start[1] > y) != (end[1] > y)
            height = side[1] if side[1] else 1.0  # a level edge crosses no row
            inside ^= crosses & (x < start[0] + along[1] * side[0] / height)
    return np.where(inside, -nearest, nearest).astype(np.float32)
