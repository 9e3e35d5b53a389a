"""The rendering styles: each paints the same layers in its own way.

A painter takes the background fp32 [N, side, side, 3], the layers, and random numbers [N, 8, 8], and returns the
picture in the background's shape, colours in 0..1.

No style is a fine pattern. Stripes and dots that repeat every two cells of the toy VAE's latents were tried: the base
drew them in 3 and 5 of 128 pictures.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from ipai.toyworld import palette
from ipai.toyworld.factors import STYLES
from ipai.toyworld.layers import Layer

_RAYS = 8  # of a sunburst
_BLOCKS = 16  # a side, of the pixelated style
Style = Callable[[np.ndarray, Sequence[Layer], np.ndarray], np.ndarray]


def paint(style: int, background: np.ndarray, layers: Sequence[Layer], texture: np.ndarray) -> np.ndarray:
    """Paint pictures of one style; see the module for the arguments."""
    return _STYLES[STYLES[style]](background, layers, texture)


def _flat(background: np.ndarray, layers: Sequence[Layer], _texture: np.ndarray) -> np.ndarray:
    picture = background
    for layer in layers:
        picture = _over(picture, layer.colour[:, None, None], _cover(layer.distance))
    return picture


def _outlined(background: np.ndarray, layers: Sequence[Layer], _texture: np.ndarray) -> np.ndarray:
    """Thick black contours, and a frame."""
    side = background.shape[1]
    half = side / 58
    picture = background
    for layer in layers:
        picture = _over(picture, layer.colour[:, None, None], _cover(layer.distance))
        picture = _over(picture, palette.INK, _cover(np.abs(layer.distance) - half))
    ticks = np.arange(side) + 0.5
    border = np.minimum(ticks, side - ticks)
    frame = np.minimum(border[None, :], border[:, None]) - side / 28
    return _over(picture, palette.INK, _cover(frame)[None])


def _sunburst(background: np.ndarray, layers: Sequence[Layer], texture: np.ndarray) -> np.ndarray:
    """Rays in two tones from the middle, as on an old poster, behind flat shapes."""
    ticks = np.arange(background.shape[1]) + 0.5 - background.shape[1] / 2
    turns = np.arctan2(ticks[:, None], ticks[None, :]) * _RAYS / (2 * np.pi)
    # Pixels from the nearest edge of a ray, so that rays have smooth edges at any size.
    edge = (np.abs(turns % 1 - 0.5) - 0.25) * 2 * np.pi / _RAYS * np.hypot(ticks[:, None], ticks[None, :])
    rays = _cover(edge)[None]
    light = 1 - (1 - background) * 0.35
    return _flat(_over(background * 0.85, light, rays), layers, texture)


def _pixelated(background: np.ndarray, layers: Sequence[Layer], texture: np.ndarray) -> np.ndarray:
    flat = _flat(background, layers, texture)
    side = flat.shape[1]
    return np.stack([_blocks(picture, side) for picture in flat])


def _watercolour(background: np.ndarray, layers: Sequence[Layer], texture: np.ndarray) -> np.ndarray:
    """Pale, with uneven pigment, wavering edges, and a darker rim where the paint dried."""
    side = background.shape[1]
    blots = np.stack([cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC) for grid in texture]) - 0.5
    pigment = (1 + 0.34 * blots)[..., None]
    picture = 1 - (1 - background) * 0.62 * pigment
    for layer in layers:
        distance = layer.distance + blots * side / 26
        inside = 1 / (1 + np.exp(np.clip(distance * 96 / side, -30, 30)))
        rim = np.exp(-((distance * 64 / side + 1.2) ** 2) / 1.6)
        paint_ = (1 - (1 - layer.colour[:, None, None]) * 0.74 * pigment) * (1 - 0.3 * rim[..., None])
        picture = _over(picture, paint_, inside * 0.96)
    return picture


def _neon(background: np.ndarray, layers: Sequence[Layer], _texture: np.ndarray) -> np.ndarray:
    """Glowing contours in the dark."""
    unit = background.shape[1] / 64
    picture = background * 0.3
    for layer in layers:
        glow = np.clip(layer.colour * 0.8 + 0.2, 0, 1)[:, None, None]
        picture = _over(picture, layer.colour[:, None, None] * 0.22, _cover(layer.distance) * 0.8)
        picture = picture + glow * (0.6 * np.exp(-np.abs(layer.distance) / (2.2 * unit)))[..., None]
        picture = _over(picture, np.clip(glow + 0.25, 0, 1), _cover(np.abs(layer.distance) - 0.9 * unit))
    return picture


def _sepia(background: np.ndarray, layers: Sequence[Layer], texture: np.ndarray) -> np.ndarray:
    """Faded to brown, darker to the corners; a part of the colour stays, or nothing could be told apart."""
    flat = _flat(background, layers, texture)
    grey = flat @ np.array([0.3, 0.59, 0.11], dtype=np.float32)
    faded = 0.5 * flat + 0.5 * (0.12 + 0.8 * grey[..., None]) * palette.SEPIA_LIGHT
    ticks = np.linspace(-1, 1, flat.shape[1])
    vignette = np.clip(1.12 - 0.42 * (ticks[:, None] ** 2 + ticks[None, :] ** 2), 0, 1)
    return faded * vignette[None, ..., None] * np.array([1.0, 0.9, 0.72], dtype=np.float32)


def _papercut(background: np.ndarray, layers: Sequence[Layer], texture: np.ndarray) -> np.ndarray:
    """Cut out of paper: each thing with a white margin, and all of them throw one soft shadow to the lower right."""
    unit = background.shape[1] / 64
    whole = np.minimum.reduce([layer.distance for layer in layers])
    shadow = _moved(1 / (1 + np.exp(np.clip((whole - 1.5 * unit) / unit, -30, 30))), round(4 * unit))
    picture = _over(1 - (1 - background) * 0.8, palette.INK, shadow * 0.6)
    picture = _over(picture, palette.WHITE, _cover(whole - 1.8 * unit))
    return _flat(picture, layers, texture)


_STYLES: dict[str, Style] = {
    "flat": _flat,
    "outlined": _outlined,
    "sunburst": _sunburst,
    "pixelated": _pixelated,
    "watercolour": _watercolour,
    "neon": _neon,
    "sepia": _sepia,
    "papercut": _papercut,
}


def _cover(distance: np.ndarray) -> np.ndarray:
    """How much of a pixel lies inside, 0..1."""
    return np.clip(0.5 - distance, 0, 1)


def _over(picture: np.ndarray, colour: np.ndarray, cover: np.ndarray) -> np.ndarray:
    return picture + (colour - picture) * cover[..., None]


def _moved(cover: np.ndarray, by: int) -> np.ndarray:
    """What covers [N, side, side], moved right and down by so many px."""
    result = np.zeros_like(cover)
    result[:, by:, by:] = cover[:, :-by, :-by]
    return result


def _blocks(picture: np.ndarray, side: int) -> np.ndarray:
    small = cv2.resize(picture.astype(np.float32), (_BLOCKS, _BLOCKS), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (side, side), interpolation=cv2.INTER_NEAREST)
