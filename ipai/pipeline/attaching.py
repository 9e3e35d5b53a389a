"""`attach`: adapters from wherever they lie, into a diffusers pipeline."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ipai.adapter.adapter import InstructAdapter
from ipai.adapter.hosts.inject import host_of
from ipai.backbones.config import BaseConfig
from ipai.errors import ConfigError
from ipai.pipeline.attachment import Attachment
from ipai.pipeline.calling import denoiser_of, refuse_unknown
from ipai.pipeline.encoding import Encoding
from ipai.pipeline.sources import LoadedAdapter, Weights, load

AdapterSource = LoadedAdapter | InstructAdapter | Path | str


def attach(
    pipeline: Any,
    adapter: AdapterSource | Sequence[AdapterSource],
    *,
    base: BaseConfig | None = None,
    scale: float = 0.7,
    weights: Weights = "ema",
) -> Attachment:
    """Put an adapter, or several, into a diffusers pipeline of its base; `detach` takes them out again.

    Args:
        pipeline: Text-to-image, img2img, inpaint, ControlNet or AnimateDiff, with LoRAs or not, with any scheduler.
        adapter: A run folder, an exported folder, a hub id, an adapter file, or what `ipai.load` returned. Of several,
            a `Condition` names its own. The weights are moved to the pipeline's device and dtype.
        base: Where the image and instruction encoders lie; None asks the adapter's folder.
        scale: See `Attachment.set_scale`; the paper recommends 0.6-0.8.
        weights: See `adapter_file`.

    Raises:
        ConfigError: The pipeline's denoiser takes no adapter or holds one already, or `base` is needed.
        IpaiError: The adapter or the encoders cannot be used.
    """
    denoiser = denoiser_of(pipeline)
    try:
        host_of(denoiser)
    except ConfigError as error:
        raise ConfigError(
            f"{type(pipeline).__name__} is no diffusers pipeline that takes an adapter: {error}"
        ) from error
    refuse_unknown(pipeline)
    several = adapter if isinstance(adapter, Sequence) and not isinstance(adapter, str) else [adapter]
    if not several:
        raise ConfigError("give at least one adapter")
    return Attachment(pipeline, [encoding_of(source, base, weights, denoiser) for source in several], scale)


def encoding_of(source: AdapterSource, base: BaseConfig | None, weights: Weights, denoiser: Any) -> Encoding:
    """An adapter on a denoiser's device, with its frozen encoders; arguments and errors as of `attach`."""
    if isinstance(source, InstructAdapter):
        loaded = LoadedAdapter(source, None, {})
    else:
        loaded = source if isinstance(source, LoadedAdapter) else load(source, weights=weights, base=base)
    base, adapter = base or loaded.base, loaded.adapter
    if base is None:
        raise ConfigError("only a run folder or an exported one says which encoders belong to an adapter; give base=")
    adapter.requires_grad_(False)
    adapter.to(denoiser.device, torch.float32)  # the resampler overflows in fp16
    adapter.ip_adapter.to(dtype=denoiser.dtype)
    return Encoding(adapter, base, denoiser.device)
