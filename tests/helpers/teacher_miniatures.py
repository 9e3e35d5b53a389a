"""Teachers with random weights, in the layout of the hub, for any test that draws pictures.

Stable Diffusion 1.5 is the project's own miniature; what a teacher has beyond it (ControlNet, IP-Adapters, SDXL's
UNet and second text encoder, the text tower of the condition's CLIP) is written here. Their pictures mean nothing.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from ipai.backbones.micro import ensure_micro
from tests.helpers.specs import attention_sizes_of

WIDTH = 32  # of the miniature's prompt tokens and of its CLIP embedding
TOKENS = 4  # condition tokens of an IP-Adapter that is not a Plus
FAST = ("teacher.steps=2", "teacher.resolution=64", "teacher.batch_size=3")


def write_teachers(folder: Path) -> Path:
    """Write `controlnet`, `content`, `sd15.safetensors`, and SDXL with its adapter in `sdxl`; return `folder`."""
    folder.mkdir(parents=True)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        unet = UNet2DConditionModel.from_pretrained(ensure_micro() / "unet")
        _write_controlnet(folder / "controlnet", unet)
        _write_text_tower(folder / "content")
        write_adapter(folder / "sd15.safetensors", unet)
        _write_sdxl(folder / "sdxl")
    return folder


def edge_overrides(folder: Path) -> tuple[str, ...]:
    """What makes `teacher=scribble_sd15` the miniature."""
    controlnet = (f"teacher.controlnet.id={folder / 'controlnet'}", "teacher.controlnet.revision=null")
    return (*FAST, *_builtin("unet"), *controlnet)


def style_overrides(folder: Path) -> tuple[str, ...]:
    """What makes `teacher=instantstyle_sd15` the miniature."""
    content = (f"teacher.content_encoder.id={folder / 'content'}", *_builtin("tokenizer", "content_tokenizer"))
    adapter = (f"teacher.adapter.id={folder / 'sd15.safetensors'}",)
    return ("teacher=instantstyle_sd15", *FAST, *_builtin("unet"), *_builtin("image_encoder"), *adapter, *content)


def text_overrides() -> tuple[str, ...]:
    """What makes `teacher=text_sd15` the miniature."""
    return ("teacher=text_sd15", "teacher.steps=2", "teacher.resolution=64", "teacher.batch_size=4", *_builtin("unet"))


def sdxl_text_overrides(folder: Path) -> tuple[str, ...]:
    """What makes `teacher=text_sdxl` the miniature."""
    sdxl = tuple(f"teacher.{part}.id={folder / 'sdxl'}" for part in ("unet", "text_encoder_2"))
    rest = tuple(word for part in ("vae", "text_encoder", "tokenizer", "scheduler") for word in _builtin(part))
    return ("teacher=text_sdxl", *text_overrides()[1:4], *sdxl, *rest, *_builtin("tokenizer", "tokenizer_2"))


def sdxl_overrides(folder: Path) -> tuple[str, ...]:
    """What makes `teacher=instantstyle_sdxl` the miniature."""
    sdxl = folder / "sdxl"
    base = (
        *(f"teacher.{part}.id={sdxl}" for part in ("unet", "text_encoder_2", "content_encoder")),
        *(word for part in ("vae", "text_encoder", "tokenizer", "scheduler") for word in _builtin(part)),
        *_builtin("tokenizer", "tokenizer_2"),
        *_builtin("tokenizer", "content_tokenizer"),
    )
    return (
        "teacher=instantstyle_sdxl",
        *FAST,
        *base,
        *_builtin("image_encoder"),
        f"teacher.adapter.id={sdxl}/adapter.safetensors",
    )


def write_adapter(path: Path, unet: UNet2DConditionModel, scale: float = 0.05) -> None:
    """An IP-Adapter for `unet` with random weights of that spread, in the layout of h94/IP-Adapter."""
    width = unet.config.cross_attention_dim
    tensors = {
        "image_proj.proj.weight": scale * torch.randn(TOKENS * width, WIDTH),
        "image_proj.proj.bias": torch.zeros(TOKENS * width),
        "image_proj.norm.weight": torch.ones(width),
        "image_proj.norm.bias": torch.zeros(width),
    }
    for number, size in enumerate(attention_sizes_of(unet)):
        for name in ("to_k_ip", "to_v_ip"):
            tensors[f"ip_adapter.{2 * number + 1}.{name}.weight"] = torch.randn(size, width)
    save_file(tensors, path)


def _builtin(part: str, key: str | None = None) -> Sequence[str]:
    key = key or part
    return (f"teacher.{key}.id=builtin:micro", f"teacher.{key}.subfolder={part}", f"teacher.{key}.revision=null")


def _write_controlnet(folder: Path, unet: UNet2DConditionModel) -> None:
    network = ControlNetModel.from_unet(unet)
    for name, weights in network.named_parameters():
        if name.startswith(("controlnet_down", "controlnet_mid", "controlnet_cond_embedding.conv_out")):
            torch.nn.init.normal_(weights, std=0.2)  # they start at zero, and the edges would do nothing
    network.save_pretrained(folder)


def _write_text_tower(folder: Path) -> None:
    config = CLIPTextConfig(
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        projection_dim=WIDTH,
    )
    CLIPTextModelWithProjection(config).save_pretrained(folder)


def _write_sdxl(folder: Path) -> None:
    """SDXL's three blocks: none, two and ten transformers deep there, one and two here."""
    _write_text_tower(folder / "text_encoder_2")
    unet = UNet2DConditionModel(
        sample_size=8,
        cross_attention_dim=2 * WIDTH,
        attention_head_dim=8,
        layers_per_block=2,
        norm_num_groups=16,
        block_out_channels=(32, 64, 64),
        transformer_layers_per_block=(1, 1, 2),
        use_linear_projection=True,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=8 * 6 + WIDTH,
    )
    unet.save_pretrained(folder / "unet")
    write_adapter(folder / "adapter.safetensors", unet)
