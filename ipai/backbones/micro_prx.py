"""A miniature of PRX with random weights: its classes and inputs, few blocks and channels."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from diffusers.models.transformers.transformer_prx import PRXTransformer2DModel
from torch import nn
from transformers.models.t5gemma.configuration_t5gemma import T5GemmaModuleConfig
from transformers.models.t5gemma.modeling_t5gemma import T5GemmaEncoder

from ipai.backbones import micro, micro_sd3

_WIDTH = 64  # of the text encoder


def ensure_micro_prx() -> Path:
    """The cached miniature, built on first use; see `micro.ensure_micro`."""
    recipe = [Path(__file__), Path(micro_sd3.__file__), Path(micro.__file__)]
    return micro.ensure_miniature("micro-prx", recipe, partial(micro.build_random, writers=_WRITERS))


def _write_transformer(folder: Path) -> None:
    model = PRXTransformer2DModel(
        in_channels=micro_sd3.LATENT_CHANNELS,
        patch_size=2,
        context_in_dim=_WIDTH,
        hidden_size=32,
        mlp_ratio=2.0,
        num_heads=2,
        depth=2,
        axes_dim=[8, 8],
    )
    for block in model.blocks:  # its gates begin at zero, and nothing that a block does would be seen
        assert isinstance(block.modulation.lin, nn.Linear)
        torch.nn.init.normal_(block.modulation.lin.weight, std=0.1)
        torch.nn.init.normal_(block.modulation.lin.bias, std=0.5)
    model.save_pretrained(folder)


def _write_text_encoder(folder: Path) -> None:
    config = T5GemmaModuleConfig(
        vocab_size=256,
        hidden_size=_WIDTH,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        is_decoder=False,
    )
    config.dropout_rate = 0.0  # which its layers read, and its class does not know of
    T5GemmaEncoder(config).save_pretrained(folder)  # type: ignore[arg-type]


_WRITERS: dict[str, Callable[[Path], None]] = {
    "transformer": _write_transformer,
    "vae": micro_sd3.write_vae,
    "text_encoder": _write_text_encoder,
    "tokenizer": micro_sd3.write_t5_tokenizer,
    "scheduler": micro_sd3.write_flow_scheduler,
    "image_encoder": micro.WRITERS["image_encoder"],
    "instruction_encoder": micro.WRITERS["instruction_encoder"],
}
