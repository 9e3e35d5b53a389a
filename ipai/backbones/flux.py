"""FLUX.1: a transformer over latents and texts, told a T5's states and a CLIP's pooled prompt.

The authors released no adapter for it. An adapter's prompt branch would read the CLIP's last state, as theirs for other
bases do.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from ipai.backbones.backbone import EncodedPrompts, frozen_forward, vae_factor
from ipai.backbones.config import BaseConfig
from ipai.backbones.dims import BaseDims
from ipai.backbones.flow import FlowTransformer, length_problems, padded, transformer_problems
from ipai.backbones.samplers import FLOW
from ipai.backbones.sd15 import text_problems

_CLIP_TOKENS = 77
_PATCH = 2  # latents along the side of a token


class Flux(FlowTransformer):
    """FLUX.1 dev and schnell."""

    called = "FLUX.1"
    terms = "the licence of the base that was chosen (schnell: Apache-2.0; dev: FLUX.1 [dev] Non-Commercial License)"
    drawing = ("transformer", "vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "scheduler")
    parts = (*drawing, "image_encoder")
    # Its pipeline gives the scheduler noise levels of its own, which Heun's does not take.
    samplers: ClassVar[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
        name: made for name, made in FLOW.items() if name != "heun"
    }

    @property
    def time_shift(self) -> float:
        """By the number of tokens where the scheduler says so, as diffusers' pipeline does."""
        config = self.scheduler.config
        if not config["use_dynamic_shifting"]:
            return super().time_shift
        tokens = (self.config.resolution // (vae_factor(self._vae_config) * _PATCH)) ** 2
        least, most = config["base_image_seq_len"], config["max_image_seq_len"]
        slope = (config["max_shift"] - config["base_shift"]) / (most - least)
        return math.exp(config["base_shift"] + slope * (tokens - least))

    @classmethod
    def patch(cls, sizes: Any) -> int:  # noqa: ARG003
        """Its pipeline packs them, where its configuration says 1."""
        return _PATCH

    @classmethod
    def measure(cls, config: BaseConfig, configs: Mapping[str, Any]) -> BaseDims:
        """See `Backbone.measure`."""
        pooled = configs["text_encoder"].hidden_size
        return replace(
            super().measure(config, configs),
            pooled_dim=pooled,
            prompt_tokens=config.prompt_tokens or 0,
            told_guidance=config.embedded_guidance is not None,
        )

    @classmethod
    def problems(cls, config: BaseConfig, configs: Mapping[str, Any]) -> Iterator[str]:
        """See `Backbone.problems`."""
        yield from length_problems(config)
        if "transformer" in configs:
            sizes = configs["transformer"].config
            yield from transformer_problems(config, configs, sizes.in_channels // _PATCH**2, cls.patch(sizes))
            if sizes.guidance_embeds != (config.embedded_guidance is not None):
                yield (
                    "transformer is told a guidance scale, so base.embedded_guidance must be one, such as 3.5"
                    if sizes.guidance_embeds
                    else "transformer is told no guidance scale; set base.embedded_guidance=null"
                )
            yield from _text_problems(sizes, configs)
        yield from text_problems(configs)

    @staticmethod
    def example_prompt(dims: BaseDims) -> dict[str, Any]:
        """See `Backbone.example_prompt`."""
        assert dims.pooled_dim is not None
        texts = torch.empty(1, dims.prompt_tokens, dims.token_dim)
        told = {"encoder_hidden_states": texts, "pooled_projections": torch.empty(1, dims.pooled_dim)}
        return told | ({"guidance": torch.empty(1)} if dims.told_guidance else {})

    def encode_prompts(self, prompts: Sequence[str], framing: Tensor | None = None) -> EncodedPrompts:  # noqa: ARG002
        """T5's states [B, prompt_tokens, 4096] and the CLIP's pooled prompt [B, 768]; see `Backbone`."""
        assert self.config.prompt_tokens is not None
        ids = padded(self._part("tokenizer"), prompts, _CLIP_TOKENS)
        words = padded(self._part("tokenizer_2"), prompts, self.config.prompt_tokens)
        with frozen_forward(self.device):
            clip = self._part("text_encoder")(ids.input_ids.to(self.device))
            hidden = self._part("text_encoder_2")(words.input_ids.to(self.device))[0]
        pooled = clip.pooler_output
        told = {"encoder_hidden_states": hidden, "pooled_projections": pooled}
        if self.config.embedded_guidance is not None:
            told["guidance"] = torch.full((len(hidden),), self.config.embedded_guidance, device=self.device)
        return EncodedPrompts(
            tokens=clip.last_hidden_state,
            mask=ids.attention_mask.to(self.device).bool(),
            arguments=told,
            embeds={"prompt_embeds": hidden, "pooled_prompt_embeds": pooled},
        )

    def call_arguments(self, guidance_scale: float) -> dict[str, Any]:
        """True classifier-free guidance; what a distilled transformer is told of is the base's own."""
        told = self.config.embedded_guidance
        distilled = {} if told is None else {"guidance_scale": told}
        return {"true_cfg_scale": guidance_scale, "max_sequence_length": self.config.prompt_tokens, **distilled}

    def pipeline(self, **parts: Any) -> Any:
        """Text to image."""
        from diffusers.pipelines.flux.pipeline_flux import FluxPipeline

        pipeline = FluxPipeline(**{part: self._part(part) for part in self.drawing} | parts)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline


def _text_problems(sizes: Any, configs: Mapping[str, Any]) -> Iterator[str]:
    if "text_encoder_2" in configs and configs["text_encoder_2"].d_model != sizes.joint_attention_dim:
        width = configs["text_encoder_2"].d_model
        yield f"text_encoder_2 gives {width}-wide tokens, transformer reads {sizes.joint_attention_dim}-wide ones"
    if "text_encoder" in configs and configs["text_encoder"].hidden_size != sizes.pooled_projection_dim:
        width = configs["text_encoder"].hidden_size
        yield f"text_encoder pools to width {width}, transformer takes {sizes.pooled_projection_dim}"
