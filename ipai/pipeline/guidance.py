"""The released four-pass guidance (paper section 6), as batches around one call of the UNet."""

import math
from collections.abc import Set
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from ipai.errors import ConfigError


@dataclass(frozen=True)
class FourPass:
    """Scales of the four-pass guidance; equal ones are ordinary guidance between `null` and `full`.

    Attributes:
        s_instruct: What the instruction and the prompt add to "everything".
        s_text: What "everything" adds to the image with the negative instruction.
        s_image: What the image adds to nothing.
        everything: The instruction of the second pass.
        negative: The instruction of the third pass; the released code takes the negative prompt's text.
    """

    s_instruct: float = 4.0
    s_text: float = 5.0
    s_image: float = 1.0
    everything: str = "use everything from the image"
    negative: str = ""

    def __post_init__(self) -> None:
        """Refuse scales that are no finite numbers, with a ConfigError."""
        scales = {field.name: getattr(self, field.name) for field in fields(self) if field.name.startswith("s_")}
        wrong = [f"{name}={value}" for name, value in scales.items() if not math.isfinite(value)]
        if wrong:
            raise ConfigError(f"guidance scales must be finite numbers, not {', '.join(wrong)}")

    def combine(self, noise: Tensor) -> Tensor:
        """One prediction [N, ...] from those of null, image, every and full, in this order in `noise` [4 N, ...]."""
        null, image, every, full = noise.chunk(4)
        text = self.s_text * (every - image)
        return null + self.s_instruct * (full - every) + text + self.s_image * (image - null)


def four_fold(value: Any, batches: Set[int]) -> Any:
    """Repeat the negative half of each tensor of that many rows: [negative, prompt] -> [3 x negative, prompt]."""
    if isinstance(value, Tensor) and value.ndim and value.shape[0] in batches:
        negative, prompt = value.chunk(2)
        return torch.cat([negative, negative, negative, prompt])
    if isinstance(value, list | tuple):
        return type(value)(four_fold(item, batches) for item in value)
    return value
