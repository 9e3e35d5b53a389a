"""What the sources are made of: scenes and portraits in one order, keyed choices, encoded files."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from ipai.toyworld.captions import WORDINGS, plain_captions, rich_captions
from ipai.toyworld.factors import Portraits, Scenes, draw_portraits, draw_scenes
from ipai.toyworld.render import render

PORTRAITS = 0.3
"""The share of portraits in a source that holds both kinds."""

# Random streams beside those of scenes (0) and portraits (1).
_KINDS, _CHOICES, _ORDER = 2, 3, 4
_CHUNK = 50  # pictures at a time
# What a plain caption tells of a picture.
_TOLD_OF_SCENES = ("object", "colour", "background")
_TOLD_OF_PORTRAITS = ("expression", "background")


@dataclass(frozen=True)
class Mixture:
    """N pictures: a row of `portraits` where `is_portrait` (bool [N]) holds, a row of `scenes` elsewhere."""

    scenes: Scenes
    portraits: Portraits
    is_portrait: np.ndarray

    def __len__(self) -> int:
        return len(self.is_portrait)

    def __getitem__(self, rows: slice | np.ndarray) -> "Mixture":
        return Mixture(self.scenes[rows], self.portraits[rows], self.is_portrait[rows])

    def pixels(self, side: int) -> np.ndarray:
        """RGB uint8 [N, side, side, 3]."""
        result = np.empty((len(self), side, side, 3), np.uint8)
        for pictures, rows in self._parts():
            result[rows] = render(pictures, side)
        return result

    def captions(self, variants: np.ndarray, rich: bool = False) -> list[str]:
        """One caption a picture, plain or rich; `variants`, int [N], pick the wordings."""
        result = [""] * len(self)
        for pictures, rows in self._parts():
            texts = (rich_captions if rich else plain_captions)(pictures, variants[rows])
            for row, text in zip(rows, texts, strict=True):
                result[row] = text
        return result

    def telling_of(self, others: np.ndarray) -> "Mixture":
        """The same pictures, except that plain captions tell of them what they tell of pictures `others`, int [N]."""
        return Mixture(
            replace(self.scenes, **{name: getattr(self.scenes, name)[others] for name in _TOLD_OF_SCENES}),
            replace(self.portraits, **{name: getattr(self.portraits, name)[others] for name in _TOLD_OF_PORTRAITS}),
            self.is_portrait[others],
        )

    def _parts(self) -> Iterator[tuple[Scenes | Portraits, np.ndarray]]:
        scenes, portraits = np.flatnonzero(~self.is_portrait), np.flatnonzero(self.is_portrait)
        yield self.scenes[scenes], scenes
        yield self.portraits[portraits], portraits


def draw_mixture(seed: int, count: int) -> Mixture:
    """`count` pictures, a share of `PORTRAITS` of them portraits; picture i is the same whatever the count."""
    is_portrait = _stream(seed, _KINDS).random(count) < PORTRAITS
    return Mixture(draw_scenes(seed, 0, count), draw_portraits(seed, 0, count), is_portrait)


def choices(seed: int, count: int, width: int) -> np.ndarray:
    """Numbers in 0..1 that decide what is no picture's factor, fp64 [width, count]."""
    return _stream(seed, _CHOICES).random((count, width)).T


def variants_of(draws: np.ndarray) -> np.ndarray:
    """Variants of captions that say everything, from numbers in 0..1, int [N]."""
    return (draws * WORDINGS).astype(np.int64)


def shuffled(seed: int, count: int) -> np.ndarray:
    """The numbers below `count` in random order."""
    return _stream(seed, _ORDER).permutation(count)


def chunks(count: int) -> Iterator[slice]:
    """All of `count` rows, in parts of which the pictures fit in memory."""
    for start in range(0, count, _CHUNK):
        yield slice(start, min(start + _CHUNK, count))


def jpeg(pixels: np.ndarray) -> bytes:
    """JPEG bytes of quality 95 at full colour resolution (4:4:4); grey where `pixels` are [height, width]."""
    return _encoded(pixels, "JPEG", quality=95, subsampling=0)


def png(pixels: np.ndarray) -> bytes:
    """PNG bytes."""
    return _encoded(pixels, "PNG")


def _encoded(pixels: np.ndarray, form: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()


def _stream(seed: int, number: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=np.array([seed, number], dtype=np.uint64)))
