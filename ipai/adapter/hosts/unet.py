"""An adapter in a UNet of Stable Diffusion 1.5's kind, through diffusers' own IP-Adapter processors."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from diffusers.models.attention_processor import IPAdapterAttnProcessor2_0
from diffusers.models.embeddings import MultiIPAdapterImageProjection
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.models.unets.unet_motion_model import UNetMotionModel
from torch import Tensor, nn

from ipai.adapter.attentions import ImageAttention, ImageKeysValues
from ipai.adapter.hosts.injection import Injection, Site
from ipai.errors import ConfigError

UNETS = (UNet2DConditionModel, UNetMotionModel)
_SUFFIX = ".processor"


class UNetInjection(Injection):
    """Image cross-attentions beside the text cross-attentions of a UNet."""

    called = "UNet"
    attention = "decoupled"
    _originals: dict[str, Any]
    _processors: list[IPAdapterAttnProcessor2_0]
    _encoder_hid_dim_type: str | None

    @classmethod
    def sites(cls, denoiser: Any) -> tuple[Site, ...]:
        """The text cross-attentions, in the order of `attn_processors`, which is that of IP-Adapter's files."""
        # AnimateDiff's motion modules attend from frame to frame: no text and no image goes in there.
        names = (name for name in denoiser.attn_processors if "motion_modules" not in name)
        found = (name.removesuffix(_SUFFIX) for name in names if name.endswith(f"attn2{_SUFFIX}"))
        return tuple(Site(name, int(denoiser.get_submodule(name).inner_dim)) for name in found)

    @staticmethod
    def token_dim(denoiser: Any) -> int:
        """The width of the text tokens."""
        return int(denoiser.config["cross_attention_dim"])

    @staticmethod
    def start(denoiser: Any, site: Site, layer: ImageAttention) -> None:
        """With the keys and values of the text attention there, as IP-Adapter does."""
        assert isinstance(layer, ImageKeysValues)
        text: Any = denoiser.get_submodule(site.name)
        layer.to_k_ip.weight.copy_(text.to_k.weight)
        layer.to_v_ip.weight.copy_(text.to_v.weight)

    @staticmethod
    def rows_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
        """AnimateDiff repeats the prompt for each frame, and its UNet does the same to the condition tokens."""
        return int((args[0] if args else kwargs["sample"]).shape[0])

    def with_tokens(self, kwargs: Mapping[str, Any], prepared: Sequence[Any]) -> dict[str, Any]:
        """See `Injection.with_tokens`."""
        added = kwargs.get("added_cond_kwargs") or {}
        if "image_embeds" in added:
            raise ConfigError("leave out ip_adapter_image and ip_adapter_image_embeds: the attachment gives its own")
        return {**kwargs, "added_cond_kwargs": {**added, "image_embeds": [one.unsqueeze(1) for one in prepared]}}

    def predict(
        self, noisy_latents: Tensor, timesteps: Tensor, prompt_arguments: Mapping[str, Any], tokens: Sequence[Tensor]
    ) -> Tensor:
        """See `Injection.predict`."""
        arguments = self.with_tokens(prompt_arguments, self.prepared(tokens))
        return cast(Tensor, self.denoiser(noisy_latents, timesteps, **arguments, return_dict=False)[0])

    def refuse_replaced(self) -> None:
        """See `Injection.refuse_replaced`."""
        if any(attention.processor is not ours for attention, ours in self._installed):
            raise ConfigError(
                "the UNet's attention processors were replaced after the adapter was attached, so it would have no "
                "say; set them first and attach then, or detach()"
            )

    def _install(self) -> None:
        unet = self.denoiser
        occupied = any(hasattr(processor, "to_k_ip") for processor in unet.attn_processors.values())
        if occupied or unet.encoder_hid_proj is not None:
            raise ConfigError(
                "the UNet already holds an IP-Adapter or another image projection; take it out first, with "
                "`Injection.eject()` or the pipeline's `unload_ip_adapter()`"
            )
        self._originals = dict(unet.attn_processors)
        self._encoder_hid_dim_type = unet.config.encoder_hid_dim_type
        spec = self.adapter.spec
        with torch.device("meta"):  # the weights they make are replaced: no memory for them, no random number drawn
            self._processors = [
                IPAdapterAttnProcessor2_0(site.size, spec.token_dim, (spec.num_queries,)) for site in self._sites
            ]
        named = {f"{site.name}{_SUFFIX}": ours for site, ours in zip(self._sites, self._processors, strict=True)}
        unet.set_attn_processor(self._originals | named)
        self._installed: list[tuple[Any, Any]] = [
            (unet.get_submodule(site.name), ours) for site, ours in zip(self._sites, self._processors, strict=True)
        ]
        unet.config.encoder_hid_dim_type = "ip_image_proj"

    def _place(self, number: int, layers: Sequence[ImageKeysValues]) -> None:
        self._processors[number].to_k_ip = nn.ModuleList([layer.to_k_ip for layer in layers])
        self._processors[number].to_v_ip = nn.ModuleList([layer.to_v_ip for layer in layers])

    def _count(self, adapters: int) -> None:
        self.denoiser.encoder_hid_proj = MultiIPAdapterImageProjection([nn.Identity() for _ in range(adapters)])

    def _scale(self, number: int, scales: list[float]) -> None:
        self._processors[number].scale = scales

    def _restore(self) -> None:
        unet = self.denoiser
        unet.set_attn_processor(dict(self._originals))
        del unet.encoder_hid_proj  # otherwise the name would stay registered as an (empty) submodule
        unet.encoder_hid_proj = None
        unet.config.encoder_hid_dim_type = self._encoder_hid_dim_type
