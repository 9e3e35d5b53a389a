"""A miniature of FLUX.1 with random weights: its classes and inputs, few blocks and channels."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler

from ipai.backbones import micro, micro_sd3


def ensure_micro_flux() -> Path:
    """The cached miniature, built on first use; see `micro.ensure_micro`."""
    recipe = [Path(__file__), Path(micro_sd3.__file__), Path(micro.__file__)]
    return micro.ensure_miniature("micro-flux", recipe, partial(micro.build_random, writers=_WRITERS))


def _write_transformer(folder: Path) -> None:
    FluxTransformer2DModel(
        in_channels=4 * micro_sd3.LATENT_CHANNELS,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=micro_sd3.T5_WIDTH,
        pooled_projection_dim=micro.text_config().hidden_size,
        guidance_embeds=True,
        axes_dims_rope=(4, 6, 6),
    ).save_pretrained(folder)


def _write_scheduler(folder: Path) -> None:
    """That of FLUX.1 dev."""
    FlowMatchEulerDiscreteScheduler(
        shift=3.0,
        use_dynamic_shifting=True,
        base_shift=0.5,
        max_shift=1.15,
        base_image_seq_len=256,
        max_image_seq_len=4096,
    ).save_pretrained(folder)


_WRITERS: dict[str, Callable[[Path], None]] = {
    "transformer": _write_transformer,
    "vae": micro_sd3.write_vae,
    "text_encoder": micro.WRITERS["text_encoder"],
    "tokenizer": micro.write_tokenizer,
    "text_encoder_2": micro_sd3.write_t5,
    "tokenizer_2": micro_sd3.write_t5_tokenizer,
    "scheduler": _write_scheduler,
    "image_encoder": micro.WRITERS["image_encoder"],
    "instruction_encoder": micro.WRITERS["instruction_encoder"],
}
