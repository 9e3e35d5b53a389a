"""Miniatures of the encoders behind `ipai evaluate measures=`, in the layouts of the real ones."""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file
from torch import Tensor
from torchvision.models import vgg16
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


def write_faces(folder: Path) -> tuple[Path, Path]:
    """A detector and a recogniser with the inputs and outputs of YuNet and SFace.

    The detector finds a face of 128 px around each white square of 32 px of its canvas and, surer, one of 64 px around
    each of 16 px; the recogniser's weights are random.
    """
    detector, recogniser = folder / "yunet.onnx", folder / "sface.onnx"
    onnx.save(_yunet(), detector)
    weights = numpy_helper.from_array(np.random.default_rng(0).normal(size=(128, 3, 112, 112)).astype("f4"), "weights")
    nodes = [
        helper.make_node("Conv", ["data", "weights"], ["features"]),
        helper.make_node("Flatten", ["features"], ["fc1"]),
    ]
    ends = [helper.make_tensor_value_info("data", _FLOAT, [1, 3, 112, 112])]
    ends.append(helper.make_tensor_value_info("fc1", _FLOAT, [1, 128]))
    onnx.save(_model(helper.make_graph(nodes, "sface", ends[:1], ends[1:], [weights])), recogniser)
    return detector, recogniser


def write_lpips(folder: Path) -> tuple[Path, Path]:
    """VGG-16's features and LPIPS's heads in their authors' names and sizes, with random weights."""
    torch.manual_seed(0)
    backbone, heads = folder / "vgg.safetensors", folder / "vgg_lpips.pth"
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in vgg16().features.state_dict().items()}
    save_file({f"features.{name}": 0.03 * torch.randn(shape) for name, shape in shapes.items()}, backbone)
    torch.save({f"lin{n}.model.1.weight": torch.rand(1, width, 1, 1) for n, width in enumerate(LPIPS_WIDTHS)}, heads)
    return backbone, heads


LPIPS_WIDTHS = (64, 128, 256, 512, 512)
_FLOAT = TensorProto.FLOAT
_CANVAS = 640
_SURE = {8: 0.0, 16: 1.0, 32: 0.9}  # of a face in a white square of so many pixels
# What is added to each output: the box is 4 strides wide, and the landmarks lie in it as a face's do.
_BIAS = {
    "cls": (0.0,),
    "obj": (0.0,),
    "bbox": (0.5, 0.5, np.log(4), np.log(4)),
    "kps": (-0.5, -0.5, 1.5, -0.5, 0.5, 0.5, -0.3, 1.3, 1.3, 1.3),
}


def _yunet() -> onnx.ModelProto:
    nodes, constants = [], []
    for stride in _SURE:
        nodes.append(
            helper.make_node(
                "AveragePool", ["input"], [f"pool{stride}"], kernel_shape=[stride] * 2, strides=[stride] * 2
            )
        )
        for kind, bias in _BIAS.items():
            name = f"{kind}_{stride}"
            bright = _SURE[stride] / 3 / 255 if len(bias) == 1 else 0
            constants += [
                numpy_helper.from_array(np.full((len(bias), 3, 1, 1), bright, "f4"), f"{name}_weight"),
                numpy_helper.from_array(np.array(bias, "f4"), f"{name}_bias"),
                numpy_helper.from_array(np.array([1, -1, len(bias)]), f"{name}_shape"),
            ]
            inputs = [f"pool{stride}", f"{name}_weight", f"{name}_bias"]
            nodes += [
                helper.make_node("Conv", inputs, [f"{name}_map"]),
                helper.make_node("Transpose", [f"{name}_map"], [f"{name}_last"], perm=[0, 2, 3, 1]),
                helper.make_node("Reshape", [f"{name}_last", f"{name}_shape"], [name]),
            ]
    outputs = [
        helper.make_tensor_value_info(f"{kind}_{stride}", _FLOAT, [1, (_CANVAS // stride) ** 2, len(bias)])
        for kind, bias in _BIAS.items()
        for stride in _SURE
    ]
    picture = helper.make_tensor_value_info("input", _FLOAT, [1, 3, _CANVAS, _CANVAS])
    return _model(helper.make_graph(nodes, "yunet", [picture], outputs, constants))


def _model(graph: onnx.GraphProto) -> onnx.ModelProto:
    """In a version that OpenCV 4.11 reads as well."""
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)
