"""Pictures from factors."""

import numpy as np

from ipai.toyworld import palette
from ipai.toyworld.factors import STYLES, Portraits, Scenes
from ipai.toyworld.layers import portrait_layers, scene_layers
from ipai.toyworld.styles import paint

SIDE = 64
_CHUNK = 256  # pictures at a time: bounds the memory


def render(pictures: Scenes | Portraits, side: int = SIDE) -> np.ndarray:
    """Draw every picture; equal factors give equal bytes, whatever else is in the batch.

    Args:
        pictures: N of them.
        side: px.

    Returns:
        RGB uint8 [N, side, side, 3].
    """
    result = np.empty((len(pictures), side, side, 3), np.uint8)
    for start in range(0, len(pictures), _CHUNK):
        rows = slice(start, start + _CHUNK)
        result[rows] = _render_chunk(pictures[rows], side)
    return result


def _render_chunk(pictures: Scenes | Portraits, side: int) -> np.ndarray:
    layers = scene_layers(pictures, side) if isinstance(pictures, Scenes) else portrait_layers(pictures, side)
    background = _background(pictures.background, side)
    result = np.empty((len(pictures), side, side, 3), np.uint8)
    for style in range(len(STYLES)):
        rows = np.flatnonzero(pictures.style == style)
        if len(rows):
            picture = paint(style, background[rows], [layer[rows] for layer in layers], pictures.texture[rows])
            result[rows] = np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    return result


def _background(kinds: np.ndarray, side: int) -> np.ndarray:
    """A gradient from top to bottom, fp32 [N, side, side, 3]."""
    share = np.linspace(0, 1, side, dtype=np.float32)[None, :, None, None]
    top, bottom = palette.BACKGROUND_TOPS[kinds, None, None], palette.BACKGROUND_BOTTOMS[kinds, None, None]
    return np.broadcast_to(top + (bottom - top) * share, (len(kinds), side, side, 3))
