"""Pictures for sources: scenes and portraits mixed, with captions, as encoded files."""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ipai.toyworld.captions import plain_captions
from ipai.toyworld.factors import Portraits, Scenes, draw_portraits, draw_scenes
from ipai.toyworld.render import render

_EVERY_PORTRAIT = 3  # of ten pictures
_CHUNK = 250


@dataclass(frozen=True)
class Drawn:
    """A picture of a source: its number, RGB uint8 [side, side, 3], and a plain caption."""

    number: int
    pixels: np.ndarray
    caption: str


def mixed(seed: int, count: int, side: int) -> Iterator[Drawn]:
    """`count` pictures, three of ten of them portraits, in every style."""
    for start in range(0, count, _CHUNK):
        size = min(_CHUNK, count - start)
        parts = [_drawn(draw(seed, start, size), start, side) for draw in (draw_scenes, draw_portraits)]
        for scene, portrait in zip(*parts, strict=True):
            yield portrait if scene.number % 10 < _EVERY_PORTRAIT else scene


def jpeg(pixels: np.ndarray, quality: int = 95) -> bytes:
    """JPEG bytes at full colour resolution; grey where `pixels` has no colours."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def png(pixels: np.ndarray) -> bytes:
    """PNG bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _drawn(pictures: Scenes | Portraits, start: int, side: int) -> list[Drawn]:
    numbers = np.arange(start, start + len(pictures))
    captions = plain_captions(pictures, numbers * 7)
    return [Drawn(*row) for row in zip(numbers.tolist(), render(pictures, side), captions, strict=True)]
