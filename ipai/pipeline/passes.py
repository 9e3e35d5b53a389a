"""What a denoiser's batch is drawn under, pass by pass, and laying it out for the four of the released guidance."""

from collections.abc import Set
from typing import Any, Literal

import torch
from torch import Tensor

Pass = Literal["null", "image", "every", "full"]
"""What a row of the denoiser's batch is drawn under: nothing, the image alone, everything of it, what was asked for."""

FOUR: tuple[Pass, ...] = ("null", "image", "every", "full")
"""The order of the four passes in the denoiser's batch, as `four_fold` makes it."""
_POOLED = ("text_embeds", "pooled_projections")  # what denoisers call a pooled prompt


def four_fold(value: Any, batches: Set[int], pooled: bool = False) -> Any:
    """Repeat the negative half of each tensor of that many rows: [negative, prompt] -> [3 x negative, prompt].

    Pooled prompts become [negative, 3 x prompt], as in the released code for SDXL and SD3.
    """
    if isinstance(value, Tensor) and value.ndim and value.shape[0] in batches:
        negative, prompt = value.chunk(2)
        return torch.cat([negative, prompt, prompt, prompt] if pooled else [negative, negative, negative, prompt])
    if isinstance(value, dict):
        return {name: four_fold(item, batches, name in _POOLED) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(four_fold(item, batches) for item in value)
    return value
