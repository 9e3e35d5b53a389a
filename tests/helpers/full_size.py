"""The configuration files of bases in full size, without weights: what a planner reads."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    FluxTransformer2DModel,
    PRXTransformer2DModel,
    SD3Transformer2DModel,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPVisionConfig, T5Config
from transformers.models.t5gemma.configuration_t5gemma import T5GemmaModuleConfig

from ipai.backbones.config import INSTRUCTION_ENCODER, BaseConfig, WeightsRef
from ipai.backbones.families import family_of
from ipai.backbones.parts import row_of

_CROSS = {"down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",)}
_CROSS["up_block_types"] = ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3
_VIT_H = {"image_size": 224, "layers": 32, "width": 1280, "head_width": 80, "patch_size": 14}
_VIT_H_TEXT = {"context_length": 77, "vocab_size": 49408, "width": 1024, "heads": 16, "layers": 24}


def full_size(base: BaseConfig, folder: Path) -> BaseConfig:
    """The base with all networks' configuration files in `folder`, and nothing else there."""
    networks = {**_NETWORKS["all"], **_NETWORKS[base.family]}
    family = family_of(base)
    wanted = [part for part in family.parts if part != "scheduler" and not row_of(part, base.family).is_tokenizer]
    for part in wanted:
        with torch.device("meta"):
            made = networks[part]()
        if hasattr(made, "save_config"):
            made.save_config(folder / part)
        else:
            made.save_pretrained(folder / part)
    model = {"embed_dim": 1024, "vision_cfg": _VIT_H, "text_cfg": _VIT_H_TEXT}
    (folder / INSTRUCTION_ENCODER).mkdir()
    (folder / INSTRUCTION_ENCODER / "open_clip_config.json").write_text(json.dumps({"model_cfg": model}))
    refs = {part: WeightsRef(str(folder), subfolder=part) for part in [*wanted, INSTRUCTION_ENCODER]}
    return replace(base, **refs)


def _vae(channels: int) -> Callable[[], Any]:
    return lambda: AutoencoderKL(
        latent_channels=channels, block_out_channels=(128, 256, 512, 512), layers_per_block=2,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        use_quant_conv=channels == 4, use_post_quant_conv=channels == 4,
    )  # fmt: skip


def _clip_l() -> Any:
    return CLIPTextConfig(
        hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, projection_dim=768
    )


def _big_g() -> Any:
    return CLIPTextConfig(
        hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=20, projection_dim=1280
    )


def _t5() -> Any:
    return T5Config(
        vocab_size=32128, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64,
        feed_forward_proj="gated-gelu",
    )  # fmt: skip


def _t5gemma() -> Any:
    config = T5GemmaModuleConfig(
        vocab_size=256_000, hidden_size=2304, intermediate_size=9216, num_hidden_layers=26, num_attention_heads=8,
        num_key_value_heads=4, head_dim=256, is_decoder=False,
    )  # fmt: skip
    config.dropout_rate = 0.0
    return config


_NETWORKS: dict[str, dict[str, Callable[[], Any]]] = {
    "all": {
        "image_encoder": lambda: CLIPVisionConfig(
            hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=16, patch_size=14,
            projection_dim=1024, hidden_act="gelu",
        ),
        "text_encoder": _clip_l,
        "vae": _vae(16),
    },
    "sd15": {
        "vae": _vae(4),
        "unet": lambda: UNet2DConditionModel(
            sample_size=64, cross_attention_dim=768, attention_head_dim=8, **_CROSS
        ),
    },
    "sdxl": {
        "vae": _vae(4),
        "text_encoder_2": _big_g,
        "unet": lambda: UNet2DConditionModel(
            sample_size=128, cross_attention_dim=2048, attention_head_dim=(5, 10, 20),
            block_out_channels=(320, 640, 1280), transformer_layers_per_block=(1, 2, 10), use_linear_projection=True,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), addition_embed_type="text_time",
            addition_time_embed_dim=256, projection_class_embeddings_input_dim=2816,
        ),
    },
    "sd3": {
        "text_encoder_2": _big_g,
        "text_encoder_3": _t5,
        "transformer": lambda: SD3Transformer2DModel(
            sample_size=128, num_layers=24, attention_head_dim=64, num_attention_heads=24, joint_attention_dim=4096,
            caption_projection_dim=1536, pooled_projection_dim=2048, pos_embed_max_size=192,
        ),
    },
    "flux": {"text_encoder_2": _t5, "transformer": lambda: FluxTransformer2DModel(guidance_embeds=True)},
    "prx": {"text_encoder": _t5gemma, "transformer": PRXTransformer2DModel},
}  # fmt: skip
