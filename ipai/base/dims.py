"""The sizes that follow from the frozen parts, and the refusal of parts that do not fit together; reads no weights."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipai.adapter.spec import attention_sizes_of
from ipai.base.config import BaseConfig
from ipai.base.hub import locate
from ipai.base.loading import read_config
from ipai.errors import WeightsError

_MEASURED = ("unet", "vae", "text_encoder", "image_encoder", "instruction_encoder")

_PREDICTIONS = ("epsilon", "v_prediction")


@dataclass(frozen=True)
class BaseDims:
    """Sizes of the frozen stack; the values in brackets are SD1.5's with CLIP ViT-H/14.

    Attributes:
        image_dim: Width of the condition image's tokens (1280).
        image_tokens: How many there are (257).
        prompt_dim: Width of the text prompt's tokens, and of the UNet's cross-attention (768).
        instruction_dim: Width of the open_clip instruction tokens (1024).
        attention_sizes: Hidden size of each cross-attention, in the order of `unet.attn_processors` (16 of them).
        latent_shape: Channels, height and width of the latents (4, 64, 64).
        resolution: Side of the target images, in pixels (512).
        image_size: Side of the condition images, in pixels (224).
    """

    image_dim: int
    image_tokens: int
    prompt_dim: int
    instruction_dim: int
    attention_sizes: tuple[int, ...]
    latent_shape: tuple[int, int, int]
    resolution: int
    image_size: int


def read_dims(config: BaseConfig) -> BaseDims:
    """Compute the sizes from the parts' configuration files alone.

    Raises:
        WeightsError: A configuration file is missing or unusable, or the parts do not fit together.
    """
    folders = locate(config, _MEASURED, weights=False)
    configs = read_configs(folders)
    check_fit(config, configs)
    image, vae = configs["image_encoder"], configs["vae"]
    side = config.resolution // _vae_factor(vae)
    return BaseDims(
        image_dim=image.hidden_size,
        image_tokens=(image.image_size // image.patch_size) ** 2 + 1,
        prompt_dim=configs["text_encoder"].hidden_size,
        instruction_dim=configs["instruction_encoder"]["text_cfg"]["width"],
        attention_sizes=attention_sizes_of(configs["unet"]),
        latent_shape=(vae.latent_channels, side, side),
        resolution=config.resolution,
        image_size=config.image_size,
    )


def read_configs(folders: Mapping[str, Path]) -> dict[str, Any]:
    """The configuration of each part by its name; the UNet's is the network itself without memory for its weights."""
    return {part: read_config(part, folder) for part, folder in folders.items()}


def check_fit(config: BaseConfig, configs: Mapping[str, Any]) -> None:
    """Refuse parts that cannot work together, as far as they are among `configs`.

    Raises:
        WeightsError: Names every pair of parts that disagree, and on what.
    """
    problems = [*_unet_problems(configs), *_size_problems(config, configs), *_text_problems(configs)]
    if problems:
        raise WeightsError(
            f"the parts of the base {config.name} do not fit:\n" + "\n".join(f"  - {p}" for p in problems)
        )


def _unet_problems(configs: Mapping[str, Any]) -> Iterator[str]:
    if "unet" in configs:
        unet = configs["unet"].config
        if unet.addition_embed_type is not None or unet.encoder_hid_dim_type is not None:
            kind = unet.addition_embed_type or unet.encoder_hid_dim_type
            yield f"unet takes more than a text prompt ({kind}), as SDXL does; a UNet of Stable Diffusion 1.5 is needed"
        if unet.in_channels != unet.out_channels:
            yield (
                f"unet has {unet.in_channels} channels in and {unet.out_channels} out: "
                "inpainting and other special UNets cannot be used"
            )
        if "vae" in configs and configs["vae"].latent_channels != unet.in_channels:
            yield f"vae has {configs['vae'].latent_channels} latent channels, unet takes {unet.in_channels}"
        if "text_encoder" in configs and configs["text_encoder"].hidden_size != unet.cross_attention_dim:
            width = configs["text_encoder"].hidden_size
            yield f"text_encoder gives {width}-wide tokens, unet cross-attends to {unet.cross_attention_dim}-wide ones"
    if "scheduler" in configs and configs["scheduler"].prediction_type not in _PREDICTIONS:
        kind = configs["scheduler"].prediction_type
        yield f"scheduler has prediction_type {kind}; {' and '.join(_PREDICTIONS)} are known"


def _size_problems(config: BaseConfig, configs: Mapping[str, Any]) -> Iterator[str]:
    if "vae" in configs:
        multiple = _vae_factor(configs["vae"])
        if "unet" in configs:
            multiple *= 2 ** (len(configs["unet"].config.block_out_channels) - 1)
        if config.resolution % multiple:
            yield f"base.resolution={config.resolution} must be a multiple of {multiple} for this vae and unet"
    if "image_encoder" in configs and configs["image_encoder"].image_size != config.image_size:
        size = configs["image_encoder"].image_size
        yield f"image_encoder takes {size} px images; set base.image_size={size} (it is {config.image_size})"


def _text_problems(configs: Mapping[str, Any]) -> Iterator[str]:
    if "tokenizer" in configs and "text_encoder" in configs:
        length, positions = (
            configs["tokenizer"].get("model_max_length"),
            configs["text_encoder"].max_position_embeddings,
        )
        if length != positions:
            yield f"tokenizer has model_max_length {length}, text_encoder has {positions} positions"


def _vae_factor(vae: Any) -> int:
    """Pixels per latent along one side."""
    return int(2 ** (len(vae.block_out_channels) - 1))
