"""Putting an adapter into a UNet and taking it out without a trace (decoupled cross-attention, 2308.06721 sec. 3.2)."""

from dataclasses import dataclass
from typing import Any, cast

import torch
from diffusers.models.attention_processor import IPAdapterAttnProcessor2_0
from diffusers.models.embeddings import MultiIPAdapterImageProjection
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import nn

from ipai.adapter.adapter import ImageKeysValues, InstructAdapter
from ipai.adapter.spec import AdapterSpec, attention_sizes_of, cross_attention_names
from ipai.errors import ConfigError, WeightsError


@dataclass
class Injection:
    """An adapter inside a UNet, as `inject` returns it.

    Attributes:
        unet: The UNet that holds the adapter.
        adapter: The adapter, whose keys and values the UNet shares.
    """

    unet: UNet2DConditionModel
    adapter: InstructAdapter
    _originals: dict[str, Any]
    _image_attentions: list[IPAdapterAttnProcessor2_0]
    _encoder_hid_dim_type: str | None
    _active: bool = True

    def set_scale(self, scale: float) -> None:
        """Weight the image attention in every layer: 1 is the full adapter, 0 the UNet without it, to the bit."""
        self._require_active()
        for processor in self._image_attentions:
            processor.scale = [float(scale)]

    def eject(self) -> None:
        """Restore the UNet exactly: the same processor objects, tensors, config and outputs as before.

        Raises:
            ConfigError: It was ejected before.
        """
        self._require_active()
        self._active = False
        self.unet.set_attn_processor(dict(self._originals))
        del self.unet.encoder_hid_proj  # otherwise the name would stay registered as an (empty) submodule
        self.unet.encoder_hid_proj = None
        config: Any = self.unet.config
        config.encoder_hid_dim_type = self._encoder_hid_dim_type

    def _require_active(self) -> None:
        if not self._active:
            raise ConfigError("this adapter was already ejected from its UNet; inject it again")


def inject(unet: UNet2DConditionModel, adapter: InstructAdapter, scale: float = 1.0) -> Injection:
    """Put an adapter's image cross-attentions beside the text cross-attentions of a UNet.

    The UNet then wants condition tokens [B, images, num_queries, cross_attention_dim], as
    `added_cond_kwargs={"image_embeds": [tokens]}` or through any diffusers pipeline as
    `ip_adapter_image_embeds=[tokens]`. Weights are shared, not copied: training the adapter moves the UNet's image
    attentions, and moving the UNet to a device or dtype moves `adapter.ip_adapter` with it (not `adapter.image_proj`).
    Nothing is cast here: outside autocast bring `adapter.ip_adapter` and the tokens to the UNet's dtype. No parameter
    is frozen or thawed; to train, freeze the UNet before, because afterwards it holds the adapter's weights too.

    Args:
        unet: A UNet with SD1.5's block names, without an adapter in it.
        adapter: The adapter, made for a UNet of these sizes.
        scale: See `Injection.set_scale`; the paper recommends 0.6-0.8 for inference.

    Raises:
        ConfigError: The UNet already holds an adapter.
        WeightsError: The adapter was made for a UNet of other sizes.
    """
    occupied = any(hasattr(processor, "to_k_ip") for processor in unet.attn_processors.values())
    if occupied or unet.encoder_hid_proj is not None:
        raise ConfigError(
            "the UNet already holds an IP-Adapter or another image projection; take it out first, with "
            "`Injection.eject()` or the pipeline's `unload_ip_adapter()`"
        )
    refuse_other_sizes(unet, adapter.spec)
    config: Any = unet.config
    originals: dict[str, Any] = dict(unet.attn_processors)
    keys_values = (cast(ImageKeysValues, module) for module in adapter.ip_adapter.values())
    image_attentions = [_processor(adapter.spec, weights) for weights in keys_values]
    injection = Injection(unet, adapter, originals, image_attentions, config.encoder_hid_dim_type)
    injection.set_scale(scale)
    unet.set_attn_processor(originals | dict(zip(cross_attention_names(unet), image_attentions, strict=True)))
    unet.encoder_hid_proj = MultiIPAdapterImageProjection([nn.Identity()])
    config.encoder_hid_dim_type = "ip_image_proj"
    return injection


def refuse_other_sizes(unet: UNet2DConditionModel, spec: AdapterSpec) -> None:
    """Raise a WeightsError with both sides' sizes if the adapter was made for another UNet."""
    sizes = attention_sizes_of(unet)
    if sizes != spec.attention_sizes:
        raise WeightsError(
            f"the adapter was made for a UNet with {len(spec.attention_sizes)} cross-attentions of the sizes "
            f"{spec.attention_sizes}, and this UNet has {len(sizes)} of the sizes {sizes}; use one of this base model"
        )
    width = unet.config["cross_attention_dim"]
    if width != spec.cross_attention_dim:
        raise WeightsError(
            f"the adapter makes condition tokens of width {spec.cross_attention_dim}, and the cross_attention_dim of "
            f"this UNet is {width}; use one of this base model"
        )


def _processor(spec: AdapterSpec, weights: ImageKeysValues) -> IPAdapterAttnProcessor2_0:
    """Diffusers' own processor around the adapter's keys and values."""
    size = weights.to_k_ip.out_features
    with torch.device("meta"):  # the weights it makes are replaced: no memory for them, no random number drawn
        processor = IPAdapterAttnProcessor2_0(size, spec.cross_attention_dim, (spec.num_queries,))
    processor.to_k_ip = nn.ModuleList([weights.to_k_ip])
    processor.to_v_ip = nn.ModuleList([weights.to_v_ip])
    return processor
