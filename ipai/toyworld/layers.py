"""A picture as layers, back to front, before any style: where each begins and what colour it has.

All lengths are shares of the picture's side until the last moment, so a picture looks the same at any size.
"""

from dataclasses import dataclass

import numpy as np

from ipai.toyworld import palette
from ipai.toyworld.factors import EXPRESSIONS, EYES, HAIR_SHAPES, MARKS, Portraits, Scenes
from ipai.toyworld.shapes import object_distance

RADII = np.array([0.2, 0.245, 0.29], dtype=np.float32)  # of an object, by index into SIZES
PLACES = np.array([0.3, 0.5, 0.7], dtype=np.float32)  # middle of each column and row
# In radii: how far above the middle a cap ends, and half the width of a band or a stripe.
_CAP, _BAND = 0.1, 0.3
_FAR = np.float32(1e3)


@dataclass(frozen=True)
class Layer:
    """Something of one colour: `distance` to its edge, px [N, side, side], negative inside; `colour` RGB [N, 3]."""

    distance: np.ndarray
    colour: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> "Layer":
        return Layer(self.distance[rows], self.colour[rows])


def centres_of(scenes: Scenes) -> np.ndarray:
    """Where each object is, as shares of the side, [N, 2] (x, y)."""
    return np.stack([PLACES[scenes.place % 3], PLACES[scenes.place // 3]], axis=1) + scenes.shift


def scene_layers(scenes: Scenes, side: int) -> list[Layer]:
    """The object of a scene, and the part of it that its mark paints in a second tone."""
    distance = object_distance(scenes.object, centres_of(scenes) * side, RADII[scenes.size] * side, scenes.angle, side)
    marked = np.maximum(distance, _mark_distance(scenes, side))
    return [Layer(distance, palette.OBJECT_COLOURS[scenes.colour]), Layer(marked, palette.MARK_TONES[scenes.colour])]


def _mark_distance(scenes: Scenes, side: int) -> np.ndarray:
    """Signed distance of every pixel to the half plane, strip or quarters of each object's mark, px [N, side, side]."""
    ticks = np.arange(side, dtype=np.float32) + np.float32(0.5)
    radius = (RADII[scenes.size] * side)[:, None, None]
    x, y = (
        (offset - centre[:, None, None]) / radius
        for offset, centre in zip(
            (ticks[None, None, :], ticks[None, :, None]), (centres_of(scenes) * side).T, strict=True
        )
    )
    cosine, sine = np.cos(scenes.angle)[:, None, None], np.sin(scenes.angle)[:, None, None]
    x, y = cosine * x + sine * y, cosine * y - sine * x  # turned with the object
    inside = {
        "halves": x,
        "cap": y + _CAP,
        "band": np.abs(y) - _BAND,
        "stripe": np.abs(x) - _BAND,
        "quarters": np.minimum(np.abs(x), np.abs(y)) * np.sign(x * y),
    }
    distance = np.full((len(scenes), side, side), _FAR, np.float32)
    for name, shares in inside.items():
        rows = np.flatnonzero(scenes.mark == MARKS.index(name))
        distance[rows] = (shares * radius)[rows]
    return distance


class _Head:
    """Coordinates that turn and grow with the head: one unit is 1/64 of the picture's side at zoom 1."""

    def __init__(self, portraits: Portraits, side: int) -> None:
        unit = side / 64 * portraits.zoom
        ticks = np.arange(side, dtype=np.float32) + np.float32(0.5)
        x = ticks[None, None, :] - (0.5 + portraits.shift[:, 0, None, None]) * side
        y = ticks[None, :, None] - (0.5 + portraits.shift[:, 1, None, None]) * side
        cosine, sine = np.cos(portraits.angle)[:, None, None], np.sin(portraits.angle)[:, None, None]
        self.unit = unit[:, None, None].astype(np.float32)
        self.x = ((cosine * x + sine * y) / self.unit).astype(np.float32)
        self.y = ((cosine * y - sine * x) / self.unit).astype(np.float32)

    def ellipse(self, x: float, y: float, width: float, height: float) -> np.ndarray:
        """Distance (units) to an ellipse with these half axes, exact where they are equal and close to it elsewhere."""
        across, down = (self.x - x) / width, (self.y - y) / height
        length = np.sqrt(across * across + down * down) + 1e-6
        slope = np.sqrt((across / width) ** 2 + (down / height) ** 2) + 1e-6
        return (length - 1) * length / slope

    def stroke(self, x: float, y: float, half: float, bend: float, width: float) -> np.ndarray:
        """Distance to a line of `width` from x - half to x + half, its middle `bend` below its ends."""
        share = (self.x - x) / half
        height = np.abs(self.y - y - bend * (1 - np.minimum(share * share, 1)))
        beyond = np.maximum(np.abs(self.x - x) - half, 0)
        return np.hypot(height, beyond) - width / 2


def portrait_layers(portraits: Portraits, side: int) -> list[Layer]:
    """Shirt, hair behind, head, beard, hair in front, mouth, eyes, glasses."""
    head = _Head(portraits, side)
    count = len(portraits)
    skin, hair = palette.SKIN_COLOURS[portraits.skin], palette.HAIR_COLOURS[portraits.hair_colour]
    shape = {name: portraits.hair_shape == index for index, name in enumerate(HAIR_SHAPES)}
    face = head.ellipse(0, 1, 13.5, 16)
    layers = [
        (head.ellipse(0, 34, 23, 14), palette.SHIRT),
        (_only(shape["long"], np.maximum(head.ellipse(0, 3, 18.5, 21), head.y - 20)), hair),
        (_only(shape["curly"], _curls(head)), hair),
        (face, skin),
        (_only(portraits.beard == 1, np.maximum(face - 0.6, 6.5 + 0.02 * head.x**2 - head.y)), hair),
        (_only(shape["mohawk"], np.maximum(head.ellipse(0, -15, 3.6, 10.5), head.y + 9)), hair),
        (_only(shape["short"] | shape["long"], np.maximum(face - 1.2, head.y + 6.5 - 0.02 * head.x**2)), hair),
        (_only(shape["curly"], np.maximum(face - 1.2, head.y + 8)), hair),
        *_mouth(head, portraits),
        *_eyes(head, portraits),
        (_only(portraits.glasses == 1, _glasses(head)), palette.INK),
    ]
    return [
        Layer(distance * head.unit, np.broadcast_to(colour, (count, 3)).astype(np.float32))
        for distance, colour in layers
    ]


def landmarks_of(portraits: Portraits) -> np.ndarray:
    """Left and right eye, nose, left and right corner of the mouth, as one sees them; shares of the side, [N, 5, 2]."""
    points = np.array([[-5.5, -2], [5.5, -2], [0, 4], [-4.5, 10], [4.5, 10]], dtype=np.float32) / 64
    cosine, sine = np.cos(portraits.angle), np.sin(portraits.angle)
    turn = np.stack([np.stack([cosine, sine], 1), np.stack([-sine, cosine], 1)], 1)  # [N, 2, 2], for rows of points
    middle: np.ndarray = 0.5 + portraits.shift[:, None, :]
    return (middle + portraits.zoom[:, None, None] * points @ turn).astype(np.float32)


def _only(where: np.ndarray, distance: np.ndarray) -> np.ndarray:
    return np.where(where[:, None, None], distance, _FAR)


def _curls(head: _Head) -> np.ndarray:
    turns = np.linspace(np.pi * 0.93, np.pi * 2.07, 9)
    blobs = [head.ellipse(14.5 * np.cos(turn), -3 + 14.5 * np.sin(turn), 5.6, 5.6) for turn in turns]
    return np.minimum.reduce(blobs)


def _mouth(head: _Head, portraits: Portraits) -> list[tuple[np.ndarray, np.ndarray]]:
    """Wide and of one colour each, so that it can be told at 64 px: a line, a laugh, a bow downwards, a round O."""
    expression = {name: portraits.expression == index for index, name in enumerate(EXPRESSIONS)}
    laugh = np.maximum(head.ellipse(0, 7.2, 7.6, 7.2), 7.2 - head.y)
    return [
        (_only(expression["neutral"], head.stroke(0, 10, 5.0, 0, 2.4)), palette.LIPS),
        (_only(expression["smiling"], laugh), palette.WHITE),
        (_only(expression["smiling"], np.abs(laugh) - 0.9), palette.LIPS),
        (_only(expression["frowning"], head.stroke(0, 13.2, 7.0, -5.4, 2.8)), palette.LIPS),
        (_only(expression["surprised"], head.ellipse(0, 10.0, 4.4, 5.4)), palette.MOUTH),
    ]


def _eyes(head: _Head, portraits: Portraits) -> list[tuple[np.ndarray, np.ndarray]]:
    eyes = {name: portraits.eyes == index for index, name in enumerate(EYES)}
    pairs = {
        (width, height): np.minimum(head.ellipse(-5.5, -2, width, height), head.ellipse(5.5, -2, width, height))
        for width, height in ((3.0, 3.0), (3.4, 1.3), (1.5, 1.5))
    }
    white = np.where(eyes["narrow"][:, None, None], pairs[3.4, 1.3], pairs[3.0, 3.0])
    pupil = np.where(eyes["narrow"][:, None, None], np.maximum(pairs[1.5, 1.5], pairs[3.4, 1.3]), pairs[1.5, 1.5])
    return [(_only(~eyes["dot"], white), palette.WHITE), (pupil, palette.INK)]


def _glasses(head: _Head) -> np.ndarray:
    rims = [np.abs(head.ellipse(x, -2, 4.7, 4.7)) - 0.8 for x in (-5.5, 5.5)]
    return np.minimum.reduce([*rims, head.stroke(0, -2.6, 1.2, 0, 1.4)])
