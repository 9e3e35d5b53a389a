"""The pictures that the stack is trained on, rendered once into memory."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ipai.toyworld.captions import VARIANTS, plain_captions, rich_captions
from ipai.toyworld.factors import Portraits, Scenes, draw_portraits, draw_scenes
from ipai.toyworld.render import render

TRAIN_SEED, HELD_OUT_SEED = 1, 2


@dataclass(frozen=True)
class Pictures:
    """Scenes, then portraits.

    Attributes:
        scenes, portraits: The factors.
        pixels: uint8 [N, 3, 64, 64], RGB.
    """

    scenes: Scenes
    portraits: Portraits
    pixels: Tensor

    def __len__(self) -> int:
        return len(self.pixels)

    def part(self, kind: str) -> Tensor:
        """The pixels of "scenes" or "portraits"."""
        count = len(self.scenes)
        return self.pixels[:count] if kind == "scenes" else self.pixels[count:]

    def images(self, rows: Tensor) -> Tensor:
        """Pixels in -1..1, fp32 [B, 3, 64, 64]."""
        return self.pixels[rows].float() / 127.5 - 1

    def plain(self, rows: Tensor, variants: Tensor) -> list[str]:
        """A caption for each row as prompts are: neither style nor place, mark nor identity."""
        return self._captions(plain_captions, rows, variants)

    def rich(self, rows: Tensor, variants: Tensor) -> list[str]:
        """A caption for each row that says everything."""
        return self._captions(rich_captions, rows, variants)

    def _captions(
        self, write: Callable[[Scenes | Portraits, np.ndarray], list[str]], rows: Tensor, variants: Tensor
    ) -> list[str]:
        result = [""] * len(rows)
        wanted, count = rows.numpy(), len(self.scenes)
        for part, first, mine in ((self.scenes, 0, wanted < count), (self.portraits, count, wanted >= count)):
            where = np.flatnonzero(mine)
            for position, caption in zip(
                where, write(part[wanted[where] - first], variants.numpy()[where]), strict=True
            ):
                result[position] = caption
        return result


def draw_pictures(seed: int, scenes: int, portraits: int) -> Pictures:
    """Render so many of each."""
    things, faces = draw_scenes(seed, 0, scenes), draw_portraits(seed, 0, portraits)
    pixels = np.concatenate([render(things), render(faces)])
    return Pictures(things, faces, torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous())


def draw_rows(pictures: Pictures, count: int, generator: torch.Generator) -> Tensor:
    """`count` random rows."""
    return torch.randint(len(pictures), (count,), generator=generator)


def draw_variants(count: int, generator: torch.Generator) -> Tensor:
    """Random wordings for `count` captions; of plain ones three in four leave something unsaid."""
    return torch.randint(VARIANTS, (count,), generator=generator)
