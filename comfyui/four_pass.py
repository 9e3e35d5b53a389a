"""The released four-pass guidance in ComfyUI's sampler."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ipai.pipeline.guidance import FourPass
from ipai.pipeline.passes import FOUR, Pass

from .sites import Applied


class FourPassSampler:
    """Computes the four passes one after the other in place of ComfyUI's two.

    The scales add up to a mean of predictions with weights that sum to one, so that denoised latents, which ComfyUI
    combines, may stand for the noise that the formula is written in.

    Args:
        guidance: The scales.
        applied: The conditions.
        compute: ComfyUI's `calc_cond_batch`.
    """

    def __init__(self, guidance: FourPass, applied: Sequence[Applied], compute: Any) -> None:
        self.guidance, self.applied, self.compute = guidance, list(applied), compute

    def __call__(self, call: dict[str, Any]) -> list[Tensor]:
        """The same prediction for prompt and negative prompt: whatever scale is then applied, it stays."""
        prompt, negative = call["conds"]
        if negative is None:
            return self._run(call, [prompt, None], "full")
        pooled = [_with_pooled(one, prompt[0]) for one in negative]
        found: dict[Pass, Tensor] = {
            "null": self._run(call, [negative, None], "null")[0],
            "image": self._run(call, [pooled, None], "image")[0],
            "every": self._run(call, [pooled, None], "every")[0],
            "full": self._run(call, [prompt, None], "full")[0],
        }
        combined = self.guidance.combine(torch.cat([found[name] for name in FOUR]))
        return [combined, combined]

    def _run(self, call: dict[str, Any], conds: list[Any], passed: Pass) -> list[Tensor]:
        for one in self.applied:
            one.now = passed
        try:
            result: list[Tensor] = self.compute(
                call["model"], conds, call["input"], call["sigma"], call["model_options"]
            )
        finally:
            for one in self.applied:
                one.now = None
        return result


def _with_pooled(negative: dict[str, Any], prompt: dict[str, Any]) -> dict[str, Any]:
    """The negative prompt with the prompt's pooled text, where the model takes one (SDXL)."""
    given = prompt.get("model_conds", {})
    if "y" not in given:
        return negative
    return {**negative, "model_conds": {**negative["model_conds"], "y": given["y"]}}
