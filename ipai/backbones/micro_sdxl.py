"""A miniature of Stable Diffusion XL with random weights: its classes, block names and inputs, and few channels."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from transformers import CLIPTextModelWithProjection

from ipai.backbones import micro


def ensure_micro_sdxl() -> Path:
    """The cached miniature, built on first use; see `micro.ensure_micro`."""
    recipe = [Path(__file__), Path(micro.__file__)]
    return micro.ensure_miniature("micro-sdxl", recipe, partial(micro.build_random, writers=_WRITERS))


def _write_unet(folder: Path) -> None:
    text = micro.text_config()
    UNet2DConditionModel(
        sample_size=micro.RESOLUTION // 8,
        in_channels=4,
        out_channels=4,
        cross_attention_dim=2 * text.hidden_size,
        attention_head_dim=(2, 4, 4),
        layers_per_block=2,
        norm_num_groups=16,
        block_out_channels=(32, 64, 64),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 1, 2),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=text.hidden_size + 6 * 8,
    ).save_pretrained(folder)


def _write_text_encoder_2(folder: Path) -> None:
    CLIPTextModelWithProjection(micro.text_config()).save_pretrained(folder)


_WRITERS: dict[str, Callable[[Path], None]] = {
    **micro.WRITERS,
    "unet": _write_unet,
    "text_encoder_2": _write_text_encoder_2,
    "tokenizer_2": micro.write_tokenizer,
}
