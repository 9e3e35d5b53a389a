"""What condition and target share, task by task, and nothing else: each pair is drawn by its number."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ipai.toyworld.captions import WITHOUT_COLOUR, WORDINGS, plain_captions
from ipai.toyworld.factors import IDENTITY, OBJECTS, Portraits, Scenes, draw_portraits, draw_scenes
from ipai.toyworld.layers import RADII, centres_of, scene_layers
from ipai.toyworld.render import render

Picture = Scenes | Portraits
_CONDITION_SEED, _CHOICE_SEED = 1_000_003, 2_000_003  # apart from the targets', whose seed is the build's own
_PORTRAITS = 0.3  # share of portraits where both kinds serve
_OBJECT = ("object", "colour", "mark")  # what makes an object the same one
_AROUND = 1.25  # side of an object's square, in diameters


@dataclass(frozen=True)
class Pair:
    """RGB uint8 pictures [side, side, 3] (no condition for copy), both captions, and the object's name or None."""

    condition: np.ndarray | None
    target: np.ndarray
    prompt: str
    cond_prompt: str
    slot: str | None


def draw_pair(task: str, seed: int, index: int, side: int, zoom: tuple[float, float], scenes: float = 0.0) -> Pair:
    """Pair `index` of `seed`.

    Args:
        task: Name of a task.
        seed, index: The same two give the same pair.
        side: px.
        zoom: For face: share of the conditions that are cut closer, and how much closer.
        scenes: For object: share of the conditions that are whole scenes.
    """
    return _DRAW[task](_Draw(seed, index, side, zoom, scenes))


class _Draw:
    """The random sources of one pair."""

    def __init__(self, seed: int, index: int, side: int, zoom: tuple[float, float], scenes: float) -> None:
        self.seed, self.index, self.side, self.zoom, self.scenes = seed, index, side, zoom, scenes
        self.choice = np.random.Generator(np.random.Philox(key=[seed + _CHOICE_SEED, index]))

    def target(self, portrait: bool) -> Picture:
        return (draw_portraits if portrait else draw_scenes)(self.seed, self.index, 1)

    def other(self, portrait: bool) -> Picture:
        """A picture that is independent of the target."""
        return (draw_portraits if portrait else draw_scenes)(self.seed + _CONDITION_SEED, self.index, 1)

    def is_portrait(self) -> bool:
        return bool(self.choice.random() < _PORTRAITS)

    def caption(self, picture: Picture, first: int = 0) -> str:
        return plain_captions(picture, first + self.choice.integers(WORDINGS, size=1))[0]

    def picture(self, factors: Picture) -> np.ndarray:
        return render(factors, self.side)[0]


def _copy(draw: _Draw) -> Pair:
    target = draw.target(draw.is_portrait())
    caption = draw.caption(target)
    return Pair(None, draw.picture(target), caption, caption, None)


def _style(draw: _Draw) -> Pair:
    """Another picture in the same style."""
    target, condition = draw.target(draw.is_portrait()), draw.other(draw.is_portrait())
    target = replace(target, style=condition.style)
    return Pair(draw.picture(condition), draw.picture(target), draw.caption(target), draw.caption(condition), None)


def _object(draw: _Draw) -> Pair:
    """The target's own object, alone on a plain colour and cut close, or in a scene that shares nothing else with it.

    The prompt leaves to it which colour it has.
    """
    target = draw.target(portrait=False)
    assert isinstance(target, Scenes)
    name, picture = OBJECTS[target.object[0]], draw.picture(target)
    if draw.scenes and draw.choice.random() < draw.scenes:
        scene = replace(draw.other(portrait=False), **{same: getattr(target, same) for same in _OBJECT})
        return Pair(draw.picture(scene), picture, draw.caption(target, WITHOUT_COLOUR), draw.caption(scene), name)
    inside = scene_layers(target, draw.side)[0].distance[0] < draw.side / 40  # with its contour or glow
    colour = draw.choice.integers(256, size=3)
    alone = np.where(inside[..., None], picture, colour).astype(np.uint8)
    condition = _cut(alone, centres_of(target)[0], float(RADII[target.size[0]]) * 2 * _AROUND, colour)
    return Pair(condition, picture, draw.caption(target, WITHOUT_COLOUR), f"a {name}", name)


def _structure(draw: _Draw) -> Pair:
    """The same things at the same places, in a style of their own."""
    condition = draw.target(draw.is_portrait())
    other = draw.other(isinstance(condition, Portraits))
    target = replace(condition, style=other.style, texture=other.texture)
    caption = draw.caption(condition)
    return Pair(draw.picture(condition), draw.picture(target), caption, caption, None)


def _face(draw: _Draw) -> Pair:
    """The same person, otherwise independent."""
    target, condition = draw.target(portrait=True), draw.other(portrait=True)
    condition = replace(condition, **{name: getattr(target, name) for name in IDENTITY})
    assert isinstance(condition, Portraits)
    picture = draw.picture(condition)
    fraction, scale = draw.zoom
    if draw.choice.random() < fraction:
        picture = _cut(picture, 0.5 + condition.shift[0], 1 / scale, None)
    return Pair(picture, draw.picture(target), draw.caption(target), draw.caption(condition), None)


_DRAW: dict[str, Callable[[_Draw], Pair]] = {
    "copy": _copy,
    "style": _style,
    "object": _object,
    "structure": _structure,
    "face": _face,
}


def _cut(picture: np.ndarray, centre: np.ndarray, share: float, beyond: np.ndarray | None) -> np.ndarray:
    """A square of `share` of the picture's side around `centre` (a share too), enlarged to the picture's size."""
    side = picture.shape[0]
    scale = 1 / share
    shift = side / 2 - scale * side * np.asarray(centre)
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    border = cv2.BORDER_REPLICATE if beyond is None else cv2.BORDER_CONSTANT
    fill = (0, 0, 0) if beyond is None else tuple(int(value) for value in beyond)
    return cv2.warpAffine(picture, matrix, (side, side), flags=cv2.INTER_AREA, borderMode=border, borderValue=fill)
