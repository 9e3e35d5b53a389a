"""Loading each part from its local folder: safetensors only, in its final precision, nothing missing, frozen."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, CLIPVisionConfig, CLIPVisionModelWithProjection

from ipai.base.quiet import quiet_bars
from ipai.errors import ConfigError, WeightsError

log = logging.getLogger(__name__)

# How each network is loaded, and what its library calls the precision.
_NETWORKS: dict[str, tuple[Callable[..., Any], str]] = {
    "unet": (UNet2DConditionModel.from_pretrained, "torch_dtype"),
    "vae": (AutoencoderKL.from_pretrained, "torch_dtype"),
    "text_encoder": (CLIPTextModel.from_pretrained, "dtype"),
    "image_encoder": (CLIPVisionModelWithProjection.from_pretrained, "dtype"),
}
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    """The precision of the frozen parts: `auto` is bf16 on GPUs that compute in it, and fp32 elsewhere.

    Raises:
        ConfigError: `name` is none of auto, bf16, fp16, fp32.
    """
    if name in _DTYPES:
        return _DTYPES[name]
    if name != "auto":
        raise ConfigError(f"base.dtype={name} is none of auto, {', '.join(_DTYPES)}")
    fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if fast else torch.float32


def vae_dtype(dtype: torch.dtype) -> torch.dtype:
    """The VAE's own precision: its activations overflow fp16 (latents become NaN), so that becomes fp32."""
    return torch.float32 if dtype == torch.float16 else dtype


def freeze(module: nn.Module) -> None:
    """Evaluation mode, no gradients to any parameter."""
    module.eval().requires_grad_(False)


def read_config(part: str, folder: Path) -> Any:
    """What a part's configuration file says, with the library's defaults filled in; reads no weights.

    Raises:
        WeightsError: The file cannot be read, or is not of this kind of model.
    """
    try:
        return _CONFIG_READERS[part](folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"the configuration of {part} in {folder} cannot be used: {error}") from error


def load_part(part: str, folder: Path, dtype: torch.dtype, device: torch.device) -> Any:
    """Load one part; networks come frozen, in `dtype` (the VAE never in fp16) and on `device`.

    The image encoder comes without its last layer: what follows the penultimate hidden states is never used.

    Raises:
        WeightsError: Tensors are missing or misshapen, or the files cannot be read.
    """
    log.info("loading %s from %s", part, folder)
    try:
        if part == "tokenizer":
            return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        if part == "scheduler":
            return DDPMScheduler.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise _unloadable(part, folder, error) from error
    network = load_network(part, *_NETWORKS[part], folder, vae_dtype(dtype) if part == "vae" else dtype)
    if part == "image_encoder":
        _drop_last_layer(network)
    freeze(network)
    return network.to(device)


def load_network(part: str, load: Callable[..., Any], precision: str, folder: Path, dtype: torch.dtype) -> Any:
    """One network from safetensors, every tensor of it filled; errors call it `part`.

    Args:
        part: How errors call it.
        load: `from_pretrained` of its class in diffusers or transformers.
        precision: What that library calls the precision: `torch_dtype` or `dtype`.
        folder: Where its files lie.
        dtype: The precision it comes in.

    Raises:
        WeightsError: Tensors are missing or misshapen, or the files cannot be read.
    """
    try:
        with quiet_bars():
            network, info = load(
                folder, **{precision: dtype}, use_safetensors=True, local_files_only=True, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError) as error:
        raise _unloadable(part, folder, error) from error
    # Both libraries only log this and go on with random values in the gaps.
    for kind in ("missing_keys", "mismatched_keys", "error_msgs"):
        if info[kind]:
            raise WeightsError(f"{part} in {folder} does not fill its model: {kind} {sorted(map(str, info[kind]))[:8]}")
    return network


def _unloadable(part: str, folder: Path, error: Exception) -> WeightsError:
    return WeightsError(f"cannot load {part} from {folder}: {error}")


def _drop_last_layer(encoder: CLIPVisionModelWithProjection) -> None:
    layers = encoder.vision_model.encoder.layers
    encoder.vision_model.encoder.layers = layers[:-1]
    encoder.config.num_hidden_layers = len(layers) - 1


def _read_unet(folder: Path) -> UNet2DConditionModel:
    config = UNet2DConditionModel.load_config(folder, local_files_only=True)
    with torch.device("meta"):
        return UNet2DConditionModel.from_config(config)


def _read_vae(folder: Path) -> Any:
    config = AutoencoderKL.load_config(folder, local_files_only=True)
    with torch.device("meta"):
        return AutoencoderKL.from_config(config).config


def _read_open_clip(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "open_clip_config.json").read_text(encoding="utf-8"))["model_cfg"]
    for key, section in (("embed_dim", config), ("text_cfg", config), ("width", config["text_cfg"])):
        if key not in section:
            raise KeyError(key)
    return config


_CONFIG_READERS: dict[str, Callable[[Path], Any]] = {
    "unet": _read_unet,
    "vae": _read_vae,
    "text_encoder": CLIPTextConfig.from_pretrained,
    "tokenizer": lambda folder: json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8")),
    "scheduler": lambda folder: DDPMScheduler.from_pretrained(folder, local_files_only=True).config,
    "image_encoder": CLIPVisionConfig.from_pretrained,
    "instruction_encoder": _read_open_clip,
}
