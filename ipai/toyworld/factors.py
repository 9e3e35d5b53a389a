"""What a picture of the toy world is made of: every factor is known, drawn independently, and addressed by its index.

Picture `i` of a seed is the same however many pictures are drawn and wherever the drawing starts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np

OBJECTS = ("ball", "box", "triangle", "star", "heart", "cross", "ring", "moon", "house", "tree")
COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink")
# Two-tone patterns of an object: what makes it this star and no other. No caption names them.
MARKS = ("plain", "halves", "cap", "band", "stripe", "quarters")
COLUMNS = ("left", "middle", "right")
ROWS = ("top", "centre", "bottom")
SIZES = ("small", "medium", "large")
BACKGROUNDS = ("sky", "sand", "night", "meadow", "stone", "wood", "snow", "lavender")
STYLES = ("flat", "outlined", "sunburst", "pixelated", "watercolour", "neon", "sepia", "papercut")

SKINS = ("pale", "fair", "olive", "brown", "dark")
HAIR_COLOURS = ("black", "blond", "ginger", "grey", "blue", "pink", "green")
HAIR_SHAPES = ("bald", "short", "curly", "long", "mohawk")
EYES = ("round", "narrow", "dot")
EXPRESSIONS = ("neutral", "smiling", "frowning", "surprised")

# Side of the grid of random numbers from which watercolour blots are made.
TEXTURE = 8
# A Philox block holds four draws, so a picture's draws must be a multiple of four for `advance` to address it.
_DRAWS = 16 + TEXTURE * TEXTURE
_BLOCKS = _DRAWS // 4


@dataclass(frozen=True)
class _Batch:
    """Factors of N pictures; every field is an array whose first dimension is N.

    Attributes:
        background: Index into BACKGROUNDS.
        style: Index into STYLES.
        texture: Uniform random numbers in 0..1, fp32 [N, 8, 8].
    """

    background: np.ndarray
    style: np.ndarray
    texture: np.ndarray

    def __len__(self) -> int:
        return len(self.style)

    def __getitem__(self, rows: slice | np.ndarray) -> Self:
        return type(self)(**{item.name: getattr(self, item.name)[rows] for item in fields(self)})


@dataclass(frozen=True)
class Scenes(_Batch):
    """An object on a background.

    Attributes:
        object, colour, mark, size: Indices into OBJECTS, COLOURS, MARKS, SIZES.
        place: Row times three plus column, indices into ROWS and COLUMNS.
        shift: What the place is missed by, as a share of the picture's side, fp32 [N, 2] (x, y).
        angle: Of the object, in radians, clockwise.
    """

    object: np.ndarray
    colour: np.ndarray
    mark: np.ndarray
    size: np.ndarray
    place: np.ndarray
    shift: np.ndarray
    angle: np.ndarray


@dataclass(frozen=True)
class Portraits(_Batch):
    """A face. The first six are the identity (2,100 of them), the others are not.

    Attributes:
        skin, hair_colour, hair_shape, eyes: Indices into SKINS, HAIR_COLOURS, HAIR_SHAPES, EYES.
        glasses, beard: 0 or 1.
        expression: Index into EXPRESSIONS.
        shift: Of the head from the middle, as a share of the picture's side, fp32 [N, 2] (x, y).
        angle: Tilt of the head, in radians, clockwise.
        zoom: Size of the head; 1 is the usual one.
    """

    skin: np.ndarray
    hair_colour: np.ndarray
    hair_shape: np.ndarray
    eyes: np.ndarray
    glasses: np.ndarray
    beard: np.ndarray
    expression: np.ndarray
    shift: np.ndarray
    angle: np.ndarray
    zoom: np.ndarray


IDENTITY = ("skin", "hair_colour", "hair_shape", "eyes", "glasses", "beard")
CHOICES = {
    "object": OBJECTS,
    "colour": COLOURS,
    "mark": MARKS,
    "size": SIZES,
    "place": tuple(f"{row} {column}" for row in ROWS for column in COLUMNS),
    "background": BACKGROUNDS,
    "style": STYLES,
    "skin": SKINS,
    "hair_colour": HAIR_COLOURS,
    "hair_shape": HAIR_SHAPES,
    "eyes": EYES,
    "glasses": ("no glasses", "glasses"),
    "beard": ("no beard", "beard"),
    "expression": EXPRESSIONS,
}


HIDDEN = -1


def visible_factors(pictures: Scenes | Portraits, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The factors of these names as int [N]; HIDDEN where a picture does not show it: hair that is not there."""
    result = {name: getattr(pictures, name) for name in names}
    if isinstance(pictures, Portraits) and "hair_colour" in result:
        hairless = (pictures.hair_shape == HAIR_SHAPES.index("bald")) & (pictures.beard == 0)
        result["hair_colour"] = np.where(hairless, HIDDEN, result["hair_colour"])
    return result


def draw_scenes(seed: int, start: int, count: int) -> Scenes:
    """Scenes `start` to `start + count - 1` of `seed`."""
    draws = _draws(seed, 0, start, count)
    return Scenes(
        background=_pick(draws[:, 0], BACKGROUNDS),
        style=_pick(draws[:, 1], STYLES),
        texture=_texture(draws),
        object=_pick(draws[:, 2], OBJECTS),
        colour=_pick(draws[:, 3], COLOURS),
        size=_pick(draws[:, 4], SIZES),
        place=_pick(draws[:, 5], CHOICES["place"]),
        shift=_between(draws[:, 6:8], -0.03, 0.03),
        angle=_between(draws[:, 8], -0.2, 0.2),
        mark=_pick(draws[:, 9], MARKS),
    )


def draw_portraits(seed: int, start: int, count: int) -> Portraits:
    """Portraits `start` to `start + count - 1` of `seed`."""
    draws = _draws(seed, 1, start, count)
    return Portraits(
        background=_pick(draws[:, 0], BACKGROUNDS),
        style=_pick(draws[:, 1], STYLES),
        texture=_texture(draws),
        skin=_pick(draws[:, 2], SKINS),
        hair_colour=_pick(draws[:, 3], HAIR_COLOURS),
        hair_shape=_pick(draws[:, 4], HAIR_SHAPES),
        eyes=_pick(draws[:, 5], EYES),
        glasses=_pick(draws[:, 6], CHOICES["glasses"]),
        beard=_pick(draws[:, 7], CHOICES["beard"]),
        expression=_pick(draws[:, 8], EXPRESSIONS),
        shift=_between(draws[:, 9:11], -0.04, 0.04),
        angle=_between(draws[:, 11], -0.17, 0.17),
        zoom=_between(draws[:, 12], 0.92, 1.12),
    )


def _draws(seed: int, stream: int, start: int, count: int) -> np.ndarray:
    generator = np.random.Philox(key=np.array([seed, stream], dtype=np.uint64))
    generator.advance(start * _BLOCKS)
    return np.random.Generator(generator).random((count, _DRAWS))


def _pick(draws: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    return (draws * len(names)).astype(np.int64)


def _between(draws: np.ndarray, low: float, high: float) -> np.ndarray:
    return (low + (high - low) * draws).astype(np.float32)


def _texture(draws: np.ndarray) -> np.ndarray:
    return draws[:, -TEXTURE * TEXTURE :].reshape(-1, TEXTURE, TEXTURE).astype(np.float32)
