"""Attaching an adapter to a diffusers pipeline: hooks on its UNet, so that any pipeline works and none is copied."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.models.embeddings import MultiIPAdapterImageProjection
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

from ipai.adapter.adapter import InstructAdapter
from ipai.adapter.injection import inject
from ipai.adapter.spec import cross_attention_names
from ipai.base.config import BaseConfig
from ipai.errors import ConfigError
from ipai.pipeline.encoding import Condition, Encoding
from ipai.pipeline.guidance import FourPass, four_fold
from ipai.pipeline.sources import Weights, base_of_run, read_adapter


class Attachment:
    """An adapter in a pipeline, as `attach` returns it. Call `condition` before the pipeline.

    Args:
        pipeline: A diffusers SD1.5 pipeline.
        encoding: Encoders and adapter.
        scale: Of the adapter.
    """

    def __init__(self, pipeline: Any, encoding: Encoding, scale: float) -> None:
        self.pipeline = pipeline
        self.encoding = encoding
        self._unet: UNet2DConditionModel = pipeline.unet
        self._injection = inject(self._unet, encoding.adapter)
        self._conditions: list[tuple[Tensor, str, float]] = []
        self._guidance: FourPass | None = None
        self._cache: tuple[Tensor, list[Tensor]] | None = None
        self._handles = [
            self._unet.register_forward_pre_hook(self._before, with_kwargs=True),
            self._unet.register_forward_hook(self._after),
        ]
        self.set_scale(scale)

    def condition(self, *conditions: Condition, guidance: FourPass | None = None) -> None:
        """Choose what the next calls take; each image is encoded here, once. Several conditions add up by weight.

        Args:
            conditions: At least one.
            guidance: None is the pipeline's ordinary guidance; the four-pass form takes the place of the pipeline's
                own scale, which must then be above 1.

        Raises:
            IpaiError: No condition was given, or an image or an instruction cannot be used.
        """
        if not conditions:
            raise ConfigError("give at least one condition: condition(Condition(image, instruction))")
        encoding = self.encoding
        texts = [encoding.instruction_of(item) for item in conditions]
        if guidance is not None and encoding.adapter.spec.instruction not in ("tokens", "pooled"):
            raise ConfigError("four-pass guidance needs an adapter that reads instructions; use guidance=None")
        images = [encoding.image(item.image) for item in conditions]
        weights = [item.weight for item in conditions]
        self._conditions = list(zip(images, texts, weights, strict=True))
        self._guidance, self._cache = guidance, None
        for name, weighed in zip(cross_attention_names(self._unet), encoding.adapter.ip_adapter.values(), strict=True):
            processor: Any = self._unet.attn_processors[name]
            processor.to_k_ip = nn.ModuleList([weighed.to_k_ip] * len(images))  # type: ignore[list-item]
            processor.to_v_ip = nn.ModuleList([weighed.to_v_ip] * len(images))  # type: ignore[list-item]
        self._unet.encoder_hid_proj = MultiIPAdapterImageProjection([nn.Identity() for _ in images])
        self._apply_scales()

    def set_scale(self, scale: float | Mapping[str, float]) -> None:
        """Weight the adapter: everywhere, or by the start of block names such as `up_blocks.1` (the others get 0).

        Raises:
            ConfigError: A scale is not finite, or no attention's name starts so.
        """
        names = cross_attention_names(self._unet)
        by_block = dict(scale) if isinstance(scale, Mapping) else {"": float(scale)}
        for block, value in by_block.items():
            if not math.isfinite(value):
                raise ConfigError(f"the scale of {block or 'the adapter'} must be a finite number, not {value}")
            if not any(_inside(name, block) for name in names):
                known = ", ".join(dict.fromkeys(name.split(".attentions")[0] for name in names))
                raise ConfigError(f"there is no image attention in {block!r}; there are some in {known}")
        chosen = {name: [b for b in by_block if _inside(name, b)] for name in names}
        self._scales = {name: by_block[max(blocks, key=len)] if blocks else 0.0 for name, blocks in chosen.items()}
        self._apply_scales()

    def detach(self) -> None:
        """Leave the pipeline as it was: the same weights, processor objects and config.

        Raises:
            ConfigError: It was detached before.
        """
        self._injection.eject()
        for handle in self._handles:
            handle.remove()

    def _apply_scales(self) -> None:
        weights = [weight for _, _, weight in self._conditions] or [1.0]
        for name, scale in self._scales.items():
            processor: Any = self._unet.attn_processors[name]
            processor.scale = [scale * weight for weight in weights]

    def _before(self, _unet: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        if not self._conditions:
            raise ConfigError("the attached adapter has no condition image; call condition(...) first, or detach()")
        added = kwargs.get("added_cond_kwargs") or {}
        if "image_embeds" in added:
            raise ConfigError("leave out ip_adapter_image and ip_adapter_image_embeds: the attachment gives its own")
        prompt = kwargs["encoder_hidden_states"]
        if self._cache is None or self._cache[0] is not prompt:  # a pipeline hands in the same object at every step
            self._cache = prompt, self._all_tokens(prompt)
        if self._guidance is not None:
            args, kwargs = (
                four_fold(args, prompt.shape[0]),
                {k: four_fold(v, prompt.shape[0]) for k, v in kwargs.items()},
            )
        return args, kwargs | {"added_cond_kwargs": {**added, "image_embeds": self._cache[1]}}

    def _after(self, _unet: nn.Module, _args: tuple[Any, ...], output: Any) -> Any:
        if self._guidance is None:
            return output
        combined = self._guidance.combine(output[0])
        # Both halves alike: whatever scale the pipeline then applies to their difference, this prediction stays.
        both = torch.cat([combined, combined])
        return (both,) if isinstance(output, tuple) else type(output)(sample=both)

    def _all_tokens(self, prompt: Tensor) -> list[Tensor]:
        """For each condition [B, 1, num_queries, width], in the order of the UNet's batch."""
        guided = bool(self.pipeline.do_classifier_free_guidance)
        if self._guidance is not None and not guided:
            raise ConfigError("four-pass guidance needs the pipeline's guidance on; give it guidance_scale=2 or more")
        parts = [self._tokens(image, text, prompt, guided) for image, text, _ in self._conditions]
        return [part[:, None].to(prompt.device, self._unet.dtype) for part in parts]

    def _tokens(self, image: Tensor, text: str, prompt: Tensor, guided: bool) -> Tensor:
        tokens = self.encoding.tokens
        if not guided:
            return tokens(image, text, prompt)
        negative, positive = prompt.chunk(2)
        passes = [tokens(self.encoding.null_image, "", negative)]
        if self._guidance is not None:
            passes += [tokens(image, other, negative) for other in (self._guidance.negative, self._guidance.everything)]
        return torch.cat([*passes, tokens(image, text, positive)])


def attach(
    pipeline: Any,
    adapter: InstructAdapter | Path | str,
    *,
    base: BaseConfig | None = None,
    scale: float = 0.7,
    weights: Weights = "ema",
) -> Attachment:
    """Put an adapter into any diffusers SD1.5 pipeline; `detach` takes it out again.

    Args:
        pipeline: Text-to-image, img2img, inpaint or ControlNet, with any scheduler.
        adapter: A run folder, an adapter file, or an adapter, which is moved to the pipeline's device and dtype.
        base: Where the image and instruction encoders lie; None reads it from the run folder.
        scale: See `Attachment.set_scale`; the paper recommends 0.6-0.8.
        weights: See `read_adapter`.

    Raises:
        ConfigError: The pipeline has no SD1.5 UNet or holds an adapter already, or `base` is needed.
        IpaiError: The adapter or the encoders cannot be used.
    """
    unet = getattr(pipeline, "unet", None)
    if not isinstance(unet, UNet2DConditionModel) or not hasattr(type(pipeline), "do_classifier_free_guidance"):
        raise ConfigError(f"{type(pipeline).__name__} is no diffusers pipeline with Stable Diffusion 1.5's UNet")
    if not isinstance(adapter, InstructAdapter):
        base = base_of_run(Path(adapter)) if base is None and Path(adapter).is_dir() else base
        adapter = read_adapter(Path(adapter), weights)
    if base is None:
        raise ConfigError("only a run folder says which encoders belong to an adapter; give base=")
    adapter.requires_grad_(False)
    adapter.to(unet.device, torch.float32)  # the resampler overflows in fp16
    adapter.ip_adapter.to(dtype=unet.dtype)
    return Attachment(pipeline, Encoding(adapter, base, unet.device), scale)


def _inside(name: str, block: str) -> bool:
    return not block or name == block or name.startswith(f"{block}.")
