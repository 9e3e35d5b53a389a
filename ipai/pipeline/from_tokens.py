"""Pictures from condition tokens that are there already, through a base that holds its adapter: what training draws."""

from collections.abc import Mapping

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor

from ipai.backbones.backbone import Backbone


class TokenPipeline:
    """diffusers' own pipeline of a base, with DDIM on its noise schedule.

    Args:
        base: Whose denoiser holds an adapter.
    """

    def __init__(self, base: Backbone) -> None:
        self._base = base
        self._pipeline = base.pipeline(scheduler=DDIMScheduler.from_config(base.scheduler.config))

    def draw(
        self,
        prompt: Mapping[str, Tensor],
        tokens: Tensor,
        null_tokens: Tensor,
        *,
        steps: int,
        guidance_scale: float,
        seed: int,
    ) -> Tensor:
        """One picture, uint8 [3, R, R] on the CPU.

        Args:
            prompt: `EncodedPrompts.embeds` of one text.
            tokens: Condition tokens [1, num_queries, width].
            null_tokens: Those of no condition, for the unguided half.
            steps: Of DDIM.
            guidance_scale: Of ordinary guidance.
            seed: Of the starting noise.
        """
        side = self._base.config.resolution
        nothing = {f"negative_{name}": value for name, value in self._base.encode_prompts([""]).embeds.items()}
        picture = self._pipeline(
            **prompt, **nothing,
            ip_adapter_image_embeds=[torch.cat([null_tokens, tokens])[:, None]], num_inference_steps=steps,
            guidance_scale=guidance_scale, height=side, width=side,
            generator=torch.Generator("cpu").manual_seed(seed), output_type="pt",
        ).images[0]  # fmt: skip
        return (picture.float().clamp(0, 1) * 255).round().byte().cpu()
