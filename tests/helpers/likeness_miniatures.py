"""Miniatures of the encoders behind `evaluate.measures`, in the layouts of the real ones."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModel, Dinov2Config, Dinov2Model

# What follows the number of a block: transformers' name and OpenAI's.
_BLOCK = {
    "layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}  # fmt: skip


def clip_vision() -> CLIPVisionModel:
    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=128, intermediate_size=512, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8,
        hidden_act="quick_gelu",
    )  # fmt: skip
    model = CLIPVisionModel(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model


def as_csd(model: CLIPVisionModel, style: Tensor) -> dict[str, Tensor]:
    """The tensors as CSD's authors name them, which is OpenAI's way."""
    theirs = {name.removeprefix("vision_model."): value for name, value in model.state_dict().items()}
    named = {
        "conv1.weight": theirs["embeddings.patch_embedding.weight"],
        "class_embedding": theirs["embeddings.class_embedding"],
        "positional_embedding": theirs["embeddings.position_embedding.weight"],
    }
    for end in ("weight", "bias"):
        named[f"ln_pre.{end}"] = theirs[f"pre_layrnorm.{end}"]
        named[f"ln_post.{end}"] = theirs[f"post_layernorm.{end}"]
        for number in range(2):
            own, other = f"transformer.resblocks.{number}", f"encoder.layers.{number}"
            named |= {f"{own}.{b}.{end}": theirs[f"{other}.{a}.{end}"] for a, b in _BLOCK.items()}
            parts = [theirs[f"{other}.self_attn.{part}_proj.{end}"] for part in "qkv"]
            named[f"{own}.attn.in_proj_{end}"] = torch.cat(parts)
    tensors = {f"backbone.{name}": value.contiguous() for name, value in named.items()}
    return tensors | {"last_layer_style": style, "last_layer_content": style + 1}


def write_csd(folder: Path) -> Path:
    """A file of 128 numbers wide, 2 blocks, 32 px."""
    path = folder / "model.safetensors"
    save_file(as_csd(clip_vision(), torch.randn(128, 24, generator=torch.Generator().manual_seed(1))), path)
    return path


def write_dino(folder: Path) -> Path:
    """DINOv2 of 32 numbers wide, 2 blocks, patches of 14 px."""
    torch.manual_seed(0)
    config = Dinov2Config(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, patch_size=14, image_size=224)
    Dinov2Model(config).save_pretrained(folder)
    return folder / "model.safetensors"
