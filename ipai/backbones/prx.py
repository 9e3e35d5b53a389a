"""PRX: an open transformer of 1.3 billion parameters (Photoroom, Apache-2.0), told a T5Gemma's states.

Chosen as the small open transformer because its text tokens pass its blocks unchanged, so that an image attention
beside its attention is IP-Adapter's own idea, and because its licence lets people build on it.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ipai.backbones.backbone import EncodedPrompts, frozen_forward
from ipai.backbones.config import BaseConfig
from ipai.backbones.dims import BaseDims
from ipai.backbones.flow import FlowTransformer, length_problems, padded, transformer_problems


class PRX(FlowTransformer):
    """The variants of PRX whose latents are of a VAE of FLUX's kind."""

    called = "PRX"
    terms = "Apache-2.0 (its text encoder under the Gemma Terms of Use)"
    drawing = ("transformer", "vae", "text_encoder", "tokenizer", "scheduler")
    parts = (*drawing, "image_encoder")

    @classmethod
    def measure(cls, config: BaseConfig, configs: Mapping[str, Any]) -> BaseDims:
        """See `Backbone.measure`."""
        return replace(super().measure(config, configs), prompt_tokens=config.prompt_tokens or 0)

    @classmethod
    def problems(cls, config: BaseConfig, configs: Mapping[str, Any]) -> Iterator[str]:
        """See `Backbone.problems`."""
        yield from length_problems(config)
        if "transformer" in configs:
            sizes = configs["transformer"].config
            yield from transformer_problems(config, configs, sizes.in_channels, cls.patch(sizes))
            if "text_encoder" in configs and configs["text_encoder"].hidden_size != sizes.context_in_dim:
                width = configs["text_encoder"].hidden_size
                yield f"text_encoder gives {width}-wide tokens, transformer reads {sizes.context_in_dim}-wide ones"

    @staticmethod
    def example_prompt(dims: BaseDims) -> dict[str, Any]:
        """See `Backbone.example_prompt`."""
        texts = torch.empty(1, dims.prompt_tokens, dims.prompt_dim)
        return {"encoder_hidden_states": texts, "attention_mask": torch.ones(1, dims.prompt_tokens, dtype=torch.bool)}

    @cached_property
    def _cleaner(self) -> Any:
        """What diffusers' pipeline does to prompts before they are encoded."""
        from diffusers.pipelines.prx.pipeline_prx import TextPreprocessor

        return TextPreprocessor()

    def encode_prompts(self, prompts: Sequence[str], framing: Tensor | None = None) -> EncodedPrompts:  # noqa: ARG002
        """The last states [B, prompt_tokens, 2304] of cleaned prompts, and where they are no padding."""
        assert self.config.prompt_tokens is not None
        texts = [self._cleaner.clean_text(text) for text in prompts]
        ids = padded(self._part("tokenizer"), texts, self.config.prompt_tokens)
        mask = ids.attention_mask.to(self.device).bool()
        with frozen_forward(self.device):
            read = self._part("text_encoder")(input_ids=ids.input_ids.to(self.device), attention_mask=mask)
        hidden = read.last_hidden_state
        return EncodedPrompts(
            tokens=hidden,
            mask=mask,
            arguments={"encoder_hidden_states": hidden, "attention_mask": mask},
            embeds={"prompt_embeds": hidden, "prompt_attention_mask": mask},
        )

    def call_arguments(self, guidance_scale: float) -> dict[str, Any]:
        """At exactly the base's resolution."""
        length = {"tokenizer_max_length": self.config.prompt_tokens}
        return {"guidance_scale": guidance_scale, "use_resolution_binning": False, **length}

    def pipeline(self, **parts: Any) -> Any:
        """Text to image."""
        from diffusers.pipelines.prx.pipeline_prx import PRXPipeline

        if self.vae.config["shift_factor"] is None:  # which the pipeline adds unasked
            self.vae.register_to_config(shift_factor=0.0)
        with warnings.catch_warnings():  # its own parent class is deprecated
            warnings.simplefilter("ignore", FutureWarning)
            pipeline = PRXPipeline(**{part: self._part(part) for part in self.drawing} | parts)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline


class PRXWithClip(PRX):
    """PRX's transformer told by a CLIP text encoder: the toy world's, which began as its UNet's."""

    called = "PRX with a CLIP text encoder"
    terms = "the project's own, Apache-2.0"
