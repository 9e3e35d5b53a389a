"""SD1.5 with CLIP ViT-H/14 in full size, and a smaller likeness, with RANDOM weights: speed depends on no value."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from open_clip import CLIP
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModelWithProjection

from ipai.backbones.micro import build_random, write_scheduler, write_tokenizer
from ipai.files import write_json

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scale:
    """How large the networks are; what is not named here is SD1.5's."""

    name: str
    resolution: int
    unet_channels: tuple[int, ...]
    vae_channels: tuple[int, ...]
    prompt_width: int
    prompt_layers: int
    image_width: int
    image_layers: int
    instruction_width: int
    instruction_layers: int


FULL = Scale("sd15-random", 512, (320, 640, 1280, 1280), (128, 256, 512, 512), 768, 12, 1280, 32, 1024, 24)
# A fifth of every width, half the side: about 1/70 of the arithmetic, in much the same shares.
MIDDLE = Scale("middle-random", 256, (64, 128, 256, 256), (32, 64, 96, 96), 192, 4, 256, 8, 192, 2)
_HEAD = 64


def ensure_base(work: Path, quick: bool) -> list[str]:
    """The settings that choose a base with random weights, which is written to `work` unless it is there.

    Args:
        work: Gets a folder; 9 GB and about a minute for the full size.
        quick: The middle size in place of the full one.
    """
    scale = MIDDLE if quick else FULL
    folder = work.resolve() / scale.name
    if not folder.is_dir():
        log.warning("writing a base with random weights to %s", folder)
        build_random(folder, _writers(scale))
    parts = list(_writers(scale))
    own = [f"base.{part}.{key}" for part in parts for key in ("id", "revision", "subfolder")]
    values = [value for part in parts for value in (str(folder), "null", part)]
    settings = [f"{key}={value}" for key, value in zip(own, values, strict=True)]
    return [
        "base=sd15", f"base.name={scale.name}", "base.random_weights=true", "base.adapter_init=null",
        f"base.resolution={scale.resolution}", f"base.resampler.width={scale.prompt_width}",
        f"base.resampler.heads={scale.prompt_width // _HEAD}", *settings,
    ]  # fmt: skip


def _writers(scale: Scale) -> dict[str, Callable[[Path], None]]:
    return {
        "unet": lambda folder: _unet(scale).save_pretrained(folder),
        "vae": lambda folder: _vae(scale).save_pretrained(folder),
        "text_encoder": lambda folder: _text_encoder(scale).save_pretrained(folder),
        "tokenizer": write_tokenizer,
        "scheduler": write_scheduler,
        "image_encoder": lambda folder: _image_encoder(scale).save_pretrained(folder),
        "instruction_encoder": lambda folder: _write_instruction_encoder(scale, folder),
    }


def _unet(scale: Scale) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=scale.resolution // 8,
        cross_attention_dim=scale.prompt_width,
        attention_head_dim=8,
        block_out_channels=scale.unet_channels,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    )


def _vae(scale: Scale) -> AutoencoderKL:
    return AutoencoderKL(
        latent_channels=4,
        layers_per_block=2,
        sample_size=scale.resolution,
        block_out_channels=scale.vae_channels,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )


def _text_encoder(scale: Scale) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            hidden_size=scale.prompt_width,
            intermediate_size=4 * scale.prompt_width,
            num_hidden_layers=scale.prompt_layers,
            num_attention_heads=scale.prompt_width // _HEAD,
            projection_dim=scale.prompt_width,
        )
    )


def _image_encoder(scale: Scale) -> CLIPVisionModelWithProjection:
    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=scale.image_width,
            intermediate_size=4 * scale.image_width,
            num_hidden_layers=scale.image_layers,
            num_attention_heads=16,
            patch_size=14,
            projection_dim=scale.instruction_width,
            hidden_act="gelu",
        )
    )


def _write_instruction_encoder(scale: Scale, folder: Path) -> None:
    width = scale.instruction_width
    config: dict[str, Any] = {
        "embed_dim": width,
        # The image tower is never read from this file; a small one of one layer keeps the file small.
        "vision_cfg": {"image_size": 224, "layers": 1, "width": _HEAD, "head_width": _HEAD, "patch_size": 14},
        "text_cfg": {
            "context_length": 77, "vocab_size": 49408, "width": width, "heads": width // _HEAD,
            "layers": scale.instruction_layers,
        },
    }  # fmt: skip
    folder.mkdir()
    model = CLIP(**json.loads(json.dumps(config)))  # a copy: open_clip may change what it is given
    save_file(model.state_dict(), folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    write_json(folder / "open_clip_config.json", {"model_cfg": config, "preprocess_cfg": {}})
