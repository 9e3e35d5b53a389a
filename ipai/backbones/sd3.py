"""Stable Diffusion 3 and 3.5: a transformer over latents and texts, two CLIPs and a T5 (2403.03206).

An adapter's prompt branch reads the first CLIP's last state, as the authors' released adapter does. Their code loads
Stable Diffusion 1.5's text encoder for it beside SD3's three; both are the text tower of CLIP ViT-L/14.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ipai.backbones.backbone import EncodedPrompts, frozen_forward
from ipai.backbones.config import BaseConfig
from ipai.backbones.dims import BaseDims
from ipai.backbones.flow import FlowTransformer, length_problems, padded, transformer_problems
from ipai.backbones.sd15 import text_problems

_CLIP_TOKENS = 77


class StableDiffusion3(FlowTransformer):
    """SD3 medium, SD3.5 medium and large."""

    called = "Stable Diffusion 3"
    terms = "the Stability AI Community License"
    drawing = (
        *("transformer", "vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2"),
        *("text_encoder_3", "tokenizer_3", "scheduler"),
    )
    parts = (*drawing, "image_encoder")

    @classmethod
    def measure(cls, config: BaseConfig, configs: Mapping[str, Any]) -> BaseDims:
        """See `Backbone.measure`."""
        pooled = configs["text_encoder"].projection_dim + configs["text_encoder_2"].projection_dim
        length = _CLIP_TOKENS + (config.prompt_tokens or 0)
        return replace(super().measure(config, configs), pooled_dim=pooled, prompt_tokens=length)

    @classmethod
    def problems(cls, config: BaseConfig, configs: Mapping[str, Any]) -> Iterator[str]:
        """See `Backbone.problems`."""
        yield from length_problems(config)
        if "transformer" in configs:
            sizes = configs["transformer"].config
            yield from transformer_problems(config, configs, sizes.in_channels, cls.patch(sizes))
            yield from _text_problems(sizes, configs)
        yield from text_problems(configs)
        yield from text_problems(configs, "_2")

    @staticmethod
    def example_prompt(dims: BaseDims) -> dict[str, Any]:
        """See `Backbone.example_prompt`."""
        assert dims.pooled_dim is not None
        texts = torch.empty(1, dims.prompt_tokens, dims.token_dim)
        return {"encoder_hidden_states": texts, "pooled_projections": torch.empty(1, dims.pooled_dim)}

    def encode_prompts(self, prompts: Sequence[str], framing: Tensor | None = None) -> EncodedPrompts:  # noqa: ARG002
        """Both CLIPs' penultimate states side by side, then T5's, [B, 77 + prompt_tokens, 4096]; pooled [B, 2048]."""
        texts = list(prompts)
        ids = [padded(self._part(f"tokenizer{number}"), texts, _CLIP_TOKENS) for number in ("", "_2")]
        assert self.config.prompt_tokens is not None
        words = padded(self._part("tokenizer_3"), texts, self.config.prompt_tokens)
        with frozen_forward(self.device):
            clips = [
                self._part(f"text_encoder{number}")(each.input_ids.to(self.device), output_hidden_states=True)
                for number, each in zip(("", "_2"), ids, strict=True)
            ]
            t5 = self._part("text_encoder_3")(words.input_ids.to(self.device))[0]
        clip = torch.cat([each.hidden_states[-2] for each in clips], dim=-1)
        hidden = torch.cat([functional.pad(clip, (0, t5.shape[-1] - clip.shape[-1])), t5], dim=1)
        pooled = torch.cat([each.text_embeds for each in clips], dim=-1)
        return EncodedPrompts(
            tokens=clips[0].last_hidden_state,
            mask=ids[0].attention_mask.to(self.device).bool(),
            arguments={"encoder_hidden_states": hidden, "pooled_projections": pooled},
            embeds={"prompt_embeds": hidden, "pooled_prompt_embeds": pooled},
        )

    def call_arguments(self, guidance_scale: float) -> dict[str, Any]:
        """With T5 prompts of the base's length."""
        return {"guidance_scale": guidance_scale, "max_sequence_length": self.config.prompt_tokens}

    def pipeline(self, **parts: Any) -> Any:
        """Text to image."""
        from diffusers.pipelines.stable_diffusion_3.pipeline_stable_diffusion_3 import StableDiffusion3Pipeline

        pipeline = StableDiffusion3Pipeline(**{part: self._part(part) for part in self.drawing} | parts)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline


def _text_problems(sizes: Any, configs: Mapping[str, Any]) -> Iterator[str]:
    if "text_encoder_3" in configs and configs["text_encoder_3"].d_model != sizes.joint_attention_dim:
        width = configs["text_encoder_3"].d_model
        yield f"text_encoder_3 gives {width}-wide tokens, transformer reads {sizes.joint_attention_dim}-wide ones"
    if "text_encoder" in configs and "text_encoder_2" in configs:
        pooled = configs["text_encoder"].projection_dim + configs["text_encoder_2"].projection_dim
        if pooled != sizes.pooled_projection_dim:
            yield (
                f"text_encoder and text_encoder_2 give a pooled prompt of width {pooled} together, transformer takes "
                f"{sizes.pooled_projection_dim}"
            )
