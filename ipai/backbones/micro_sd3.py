"""A miniature of Stable Diffusion 3 with random weights: its classes and inputs, four blocks, few channels."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from transformers import CLIPTextModelWithProjection, T5Config, T5EncoderModel, T5Tokenizer

from ipai.backbones import micro

LATENT_CHANNELS = 16
T5_WIDTH = 64


def ensure_micro_sd3() -> Path:
    """The cached miniature, built on first use; see `micro.ensure_micro`."""
    recipe = [Path(__file__), Path(micro.__file__)]
    return micro.ensure_miniature("micro-sd3", recipe, partial(micro.build_random, writers=_WRITERS))


def write_vae(folder: Path) -> None:
    """A VAE of 16 latent channels that are shifted too, as those of SD3 and FLUX are."""
    AutoencoderKL(
        latent_channels=LATENT_CHANNELS,
        layers_per_block=1,
        sample_size=micro.RESOLUTION,
        norm_num_groups=8,
        block_out_channels=(8, 16, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        scaling_factor=1.5305,
        shift_factor=0.0609,
        use_quant_conv=False,
        use_post_quant_conv=False,
    ).save_pretrained(folder)


def write_clip(folder: Path) -> None:
    """A CLIP text encoder with its projection."""
    CLIPTextModelWithProjection(micro.text_config()).save_pretrained(folder)


def write_t5(folder: Path) -> None:
    """A T5 encoder of 64-wide tokens."""
    config = T5Config(vocab_size=256, d_model=T5_WIDTH, d_kv=16, d_ff=128, num_layers=2, num_heads=4, dropout_rate=0.0)
    T5EncoderModel(config).save_pretrained(folder)


def write_t5_tokenizer(folder: Path) -> None:
    """Letters in place of T5's pieces of words."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [(chr(code), -3.0) for code in range(33, 127)]
    T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=512).save_pretrained(folder)


def write_flow_scheduler(folder: Path) -> None:
    """SD3's own noise schedule."""
    FlowMatchEulerDiscreteScheduler(shift=3.0).save_pretrained(folder)


def _write_transformer(folder: Path) -> None:
    text = micro.text_config()
    SD3Transformer2DModel(
        sample_size=micro.RESOLUTION // 8,
        patch_size=2,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        num_layers=4,
        num_attention_heads=4,
        attention_head_dim=8,
        caption_projection_dim=32,
        joint_attention_dim=T5_WIDTH,
        pooled_projection_dim=2 * text.hidden_size,
        pos_embed_max_size=16,
    ).save_pretrained(folder)


_WRITERS: dict[str, Callable[[Path], None]] = {
    "transformer": _write_transformer,
    "vae": write_vae,
    "text_encoder": write_clip,
    "tokenizer": micro.write_tokenizer,
    "text_encoder_2": write_clip,
    "tokenizer_2": micro.write_tokenizer,
    "text_encoder_3": write_t5,
    "tokenizer_3": write_t5_tokenizer,
    "scheduler": write_flow_scheduler,
    "image_encoder": micro.WRITERS["image_encoder"],
    "instruction_encoder": micro.WRITERS["instruction_encoder"],
}
