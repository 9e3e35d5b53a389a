"""Stable Diffusion XL: a UNet that is also told the pooled prompt and how a picture was framed, and two text encoders.

Trained and drawn with both encoders' penultimate states side by side (2307.01952, sections 2.1 and 2.2). An adapter's
prompt branch reads the first encoder's last state instead, as the authors' released adapter does.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ipai.backbones.backbone import EncodedPrompts, frozen_forward
from ipai.backbones.config import BaseConfig
from ipai.backbones.dims import BaseDims
from ipai.backbones.sd15 import StableDiffusion15, latent_problems, size_problems, text_problems
from ipai.errors import WeightsError

if TYPE_CHECKING:
    from transformers import CLIPTextModelWithProjection, CLIPTokenizer

_FRAMING = 6  # numbers that say how a picture was framed


class StableDiffusionXL(StableDiffusion15):
    """SDXL base, and what was fine-tuned from it; its first text encoder is Stable Diffusion 1.5's."""

    called = "Stable Diffusion XL"
    terms = "CreativeML OpenRAIL++-M"
    drawing = ("unet", "vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "scheduler")
    parts = (*drawing, "image_encoder")
    sees_framing = True

    @property
    def text_encoder_2(self) -> "CLIPTextModelWithProjection":
        """CLIP bigG, whose projection is the pooled prompt."""
        return self._part("text_encoder_2")

    @property
    def tokenizer_2(self) -> "CLIPTokenizer":
        """Of CLIP bigG; it pads with another token."""
        return self._part("tokenizer_2")

    @classmethod
    def measure(cls, config: BaseConfig, configs: Mapping[str, Any]) -> BaseDims:
        """See `Backbone.measure`."""
        return replace(super().measure(config, configs), pooled_dim=configs["text_encoder_2"].projection_dim)

    @classmethod
    def problems(cls, config: BaseConfig, configs: Mapping[str, Any]) -> Iterator[str]:
        """See `Backbone.problems`."""
        yield from _unet_problems(configs)
        yield from latent_problems(configs)
        yield from size_problems(config, configs)
        yield from text_problems(configs)
        yield from text_problems(configs, "_2")

    @staticmethod
    def example_prompt(dims: BaseDims) -> dict[str, Any]:
        """See `Backbone.example_prompt`."""
        assert dims.pooled_dim is not None
        added = {"text_embeds": torch.empty(1, dims.pooled_dim), "time_ids": torch.empty(1, _FRAMING)}
        return {"encoder_hidden_states": torch.empty(1, dims.prompt_tokens, dims.token_dim), "added_cond_kwargs": added}

    def encode_prompts(self, prompts: Sequence[str], framing: Tensor | None = None) -> EncodedPrompts:
        """Both encoders' penultimate states [B, 77, 2048] and the pooled prompt [B, 1280]; see `Backbone`."""
        texts = list(prompts)
        first = self.tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt")
        second = self.tokenizer_2(texts, padding="max_length", truncation=True, return_tensors="pt")
        with frozen_forward(self.device):
            ours = self.text_encoder(first.input_ids.to(self.device), output_hidden_states=True)
            theirs = self.text_encoder_2(second.input_ids.to(self.device), output_hidden_states=True)
        hidden = torch.cat([ours.hidden_states[-2], theirs.hidden_states[-2]], dim=-1)
        pooled = theirs.text_embeds
        added = {"text_embeds": pooled, "time_ids": self._time_ids(len(texts), framing).to(pooled.dtype)}
        return EncodedPrompts(
            tokens=ours.last_hidden_state,
            mask=first.attention_mask.to(self.device).bool(),
            arguments={"encoder_hidden_states": hidden, "added_cond_kwargs": added},
            embeds={"prompt_embeds": hidden, "pooled_prompt_embeds": pooled},
        )

    def _time_ids(self, count: int, framing: Tensor | None) -> Tensor:
        if framing is not None:
            return framing.to(self.device)
        side = self.config.resolution
        return torch.tensor([[side, side, 0, 0, side, side]], device=self.device).expand(count, -1)

    @staticmethod
    def nothing_asked(negative: tuple[str, ...] | None) -> tuple[str, ...] | None:  # noqa: ARG004
        """An empty text, whatever the negative prompt: so the authors' code for SDXL has it."""
        return ("",)

    def pipeline(self, **parts: Any) -> Any:
        """Text to image, with a ControlNet if there is one among `parts`."""
        from diffusers.pipelines.controlnet.pipeline_controlnet_sd_xl import StableDiffusionXLControlNetPipeline
        from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import StableDiffusionXLPipeline

        kind: Any = StableDiffusionXLControlNetPipeline if "controlnet" in parts else StableDiffusionXLPipeline
        # What is not drawn under a prompt is drawn under the empty text, as it was trained, and without a watermark.
        options = {"force_zeros_for_empty_prompt": False, "add_watermarker": False}
        pipeline = kind(**{part: self._part(part) for part in self.drawing} | parts, **options)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def refuse_controlnet(self, network: Any, name: str) -> None:
        """See `Backbone.refuse_controlnet`."""
        keys = ("in_channels", "cross_attention_dim", "addition_embed_type")
        ours, its = (tuple(net.config[key] for key in keys) for net in (self.denoiser, network))
        if ours != its:
            raise WeightsError(
                f"controlnet={name} was made for latents, prompts and further inputs of {its}, and this base has "
                f"{ours}; use one of this base model"
            )


def _unet_problems(configs: Mapping[str, Any]) -> Iterator[str]:
    if "unet" not in configs:
        return
    unet = configs["unet"].config
    if unet.addition_embed_type != "text_time" or unet.encoder_hid_dim_type is not None:
        yield "unet does not take a pooled prompt and sizes (text_time); a UNet of Stable Diffusion XL base is needed"
        return
    if "text_encoder" in configs and "text_encoder_2" in configs:
        first, second = configs["text_encoder"], configs["text_encoder_2"]
        width = first.hidden_size + second.hidden_size
        if width != unet.cross_attention_dim:
            yield (
                f"text_encoder and text_encoder_2 give {width}-wide tokens together, unet cross-attends to "
                f"{unet.cross_attention_dim}-wide ones"
            )
        pooled = unet.projection_class_embeddings_input_dim - _FRAMING * unet.addition_time_embed_dim
        if pooled != second.projection_dim:
            yield f"text_encoder_2 gives a pooled prompt of width {second.projection_dim}, unet takes {pooled}"
