"""Pictures from condition tokens that are there already, through a base that holds its adapter: what training draws."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ipai.adapter.hosts.injection import Injection
from ipai.backbones.backbone import Backbone
from ipai.pipeline.calling import current_call
from ipai.pipeline.passes import Pass


class TokenPipeline:
    """diffusers' own pipeline of a base, with the first of its family's samplers.

    Args:
        base: Whose denoiser holds an adapter.
        injection: How it does.
    """

    def __init__(self, base: Backbone, injection: Injection) -> None:
        self._base = base
        self._injection = injection
        self._pipeline = base.pipeline(scheduler=base.sampler(next(iter(base.samplers))))

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
            steps: Of the sampler.
            guidance_scale: Of ordinary guidance.
            seed: Of the starting noise.
        """
        side = self._base.config.resolution
        nothing = {f"negative_{name}": value for name, value in self._base.encode_prompts([""]).embeds.items()}
        made: dict[Pass, Tensor] = {"full": tokens, "null": null_tokens}

        def before(denoiser: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            rows = torch.cat([made[name] for name in current_call(denoiser, kwargs).passes])
            return args, self._injection.with_tokens(kwargs, self._injection.prepared([rows]))

        handle = self._injection.denoiser.register_forward_pre_hook(before, with_kwargs=True)
        try:
            picture = self._pipeline(
                **prompt, **nothing, num_inference_steps=steps, **self._base.call_arguments(guidance_scale),
                height=side, width=side, generator=torch.Generator("cpu").manual_seed(seed), output_type="pt",
            ).images[0]  # fmt: skip
        finally:
            handle.remove()
        return (picture.float().clamp(0, 1) * 255).round().byte().cpu()
