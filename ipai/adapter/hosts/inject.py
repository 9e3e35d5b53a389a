"""Choosing how an adapter is put into a denoiser, and doing it.

A further kind of denoiser is a subclass of `Injection` in a file of its own, and a row of `_HOSTS`.
"""

from typing import Any, cast

import torch

from ipai.adapter.adapter import InstructAdapter
from ipai.adapter.attentions import ImageAttention
from ipai.adapter.hosts import flux, prx, sd3
from ipai.adapter.hosts.injection import Injection
from ipai.adapter.hosts.unet import UNETS, UNetInjection
from ipai.errors import ConfigError

_HOSTS: dict[tuple[type, ...], type[Injection]] = {
    UNETS: UNetInjection,
    sd3.TRANSFORMERS: sd3.SD3Injection,
    flux.TRANSFORMERS: flux.FluxInjection,
    prx.TRANSFORMERS: prx.PRXInjection,
}


def host_of(denoiser: Any) -> type[Injection]:
    """How an adapter is put into this denoiser.

    Raises:
        ConfigError: No way is known.
    """
    for kinds, host in _HOSTS.items():
        if isinstance(denoiser, kinds):
            return host
    if hasattr(denoiser, "_orig_mod"):
        raise ConfigError(
            "the denoiser was wrapped by torch.compile, which hides its attentions; put the adapter in first and "
            "compile then, or in place, with unet.compile()"
        )
    known = ", ".join(kind.__name__ for kinds in _HOSTS for kind in kinds)
    raise ConfigError(f"no adapter can be put into a {type(denoiser).__name__}; known are {known}")


def inject(denoiser: Any, adapter: InstructAdapter, scale: float = 1.0) -> Injection:
    """Put an adapter into a denoiser; `eject` of what comes back takes it out again without a trace.

    A UNet then wants condition tokens [B, images, num_queries, token_dim], as
    `added_cond_kwargs={"image_embeds": [tokens]}` or through any diffusers pipeline as
    `ip_adapter_image_embeds=[tokens]`.

    Args:
        denoiser: Without an adapter in it; see `Injection` on whose the weights are.
        adapter: Made for a denoiser of these sizes.
        scale: See `Injection.set_scale`; the paper recommends 0.6-0.8 for inference.

    Raises:
        ConfigError: The denoiser already holds an adapter, or is of an unknown kind.
        WeightsError: The adapter was made for a denoiser of other sizes.
    """
    return host_of(denoiser)(denoiser, adapter, scale)


@torch.no_grad()
def start_from_base(adapter: InstructAdapter, denoiser: Any, seed: int) -> None:
    """Begin as an adapter does of which there are no weights yet; how follows from the kind of denoiser.

    Args:
        adapter: Made for `denoiser`; its `ip_adapter` part is overwritten.
        denoiser: The base's.
        seed: Of what begins as noise.
    """
    host = host_of(denoiser)
    for site, layer in zip(host.sites(denoiser), adapter.ip_adapter.values(), strict=True):
        host.start(denoiser, site, cast(ImageAttention, layer))
    host.start_tokens(adapter.image_proj, torch.Generator().manual_seed(seed))
