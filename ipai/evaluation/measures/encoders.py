"""What other measures see: a style descriptor (CSD) and a self-supervised vision transformer (DINO)."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from open_clip.transformer import QuickGELU, VisionTransformer
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from torchvision.transforms import v2
from transformers import AutoModel

from ipai.backbones.config import WeightsFile
from ipai.backbones.hub import resolve_file
from ipai.backbones.loading import freeze
from ipai.backbones.quiet import quiet_bars
from ipai.errors import WeightsError
from ipai.files import fingerprint

log = logging.getLogger(__name__)

_CLIP_MEAN, _CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_HEAD_WIDTH = 64  # of every CLIP vision transformer of OpenAI's
_SIDE = 224
_STRUCTURE_SIDE = 112
_UNUSED = "last_layer_content"
_DINO_FILE = "model.safetensors"


class CsdEncoder:
    """Contrastive style descriptors (2404.01292): ViT-L/14 of OpenAI's CLIP with a style head in place of its own.

    Args:
        ref: The safetensors file with the authors' names (`backbone.*`, `last_layer_style`); sizes are read from it.
        device: Where it runs.

    Raises:
        WeightsError: It cannot be had, or holds other tensors.
    """

    def __init__(self, ref: WeightsFile, device: torch.device) -> None:
        path = resolve_file(ref)
        state = read_tensors(path)
        try:
            self._backbone, side = _vision_transformer(state)
            self._style = state["last_layer_style"].to(device)
            self._backbone.load_state_dict(
                {key.removeprefix("backbone."): value for key, value in state.items() if key.startswith("backbone.")}
            )
        except (KeyError, RuntimeError, ValueError) as error:
            raise WeightsError(
                f"{path} is no CSD: it needs backbone.* and last_layer_style in its authors' names ({error})"
            ) from error
        freeze(self._backbone)
        self._backbone.to(device)
        self.identity = f"csd-{fingerprint(path)[:16]}"
        self.preprocessing = f"shorter side to {side} px (bicubic), middle square, CLIP's mean and deviation"
        self._device, self._prepare = device, _preparation(side, side, _CLIP_MEAN, _CLIP_STD)

    def prepared(self, picture: Image.Image) -> Tensor:
        """As CLIP prepares it."""
        return self._prepare(picture)

    @torch.no_grad()
    def embed(self, pixels: Tensor) -> Tensor:
        """The style head's output, normalised."""
        features = self._backbone(pixels.to(self._device))
        return functional.normalize(features @ self._style, dim=1).cpu()


class DinoEncoder:
    """DINOv2 (2304.07193) or DINOv3 through transformers, in one of two readings.

    `subject`: the class token, which says what is seen. `structure`: how alike each two patches are (the
    self-similarity of 2201.00424), which says how a picture is laid out whatever its colours.

    Args:
        ref: The model's safetensors file; its config.json lies beside it.
        reading: Which of the two.
        device: Where it runs.

    Raises:
        WeightsError: It cannot be had, or transformers cannot load it.
    """

    def __init__(self, ref: WeightsFile, reading: str, device: torch.device) -> None:
        if Path(ref.filename).name != _DINO_FILE:
            raise WeightsError(f"{ref}: transformers reads {_DINO_FILE} and config.json beside it; give that file")
        path = resolve_file(ref)
        if not path.with_name("config.json").is_file():
            resolve_file(replace(ref, filename=str(Path(ref.filename).with_name("config.json"))))
        try:
            with quiet_bars():
                model: Any = AutoModel.from_pretrained(path.parent, local_files_only=True, use_safetensors=True)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise WeightsError(f"{path.parent} holds no DINO that transformers can load: {error}") from error
        freeze(model)
        self._model, self._device, self._reading = model.to(device), device, reading
        side = _SIDE if reading == "subject" else _STRUCTURE_SIDE
        self._patches = (side // int(getattr(model.config, "patch_size", 0) or side)) ** 2
        self.identity = f"dino-{reading}-{fingerprint(path)[:16]}"
        wide = side * 8 // 7
        self.preprocessing = f"shorter side to {wide} px (bicubic), middle {side} px, ImageNet's mean and deviation"
        self._prepare = _preparation(wide, side, IMAGENET_MEAN, IMAGENET_STD)
        try:
            self.embed(torch.zeros(1, 3, side, side))
        except (ValueError, RuntimeError, AttributeError, TypeError) as error:
            raise WeightsError(f"{path.parent} holds no DINO that reads pictures of {side} px: {error}") from error

    def prepared(self, picture: Image.Image) -> Tensor:
        """As its authors evaluate, at 112 px for the structure: the square of as many patches is kept of each."""
        return self._prepare(picture)

    @torch.no_grad()
    def embed(self, pixels: Tensor) -> Tensor:
        """The class token, or the similarities of the patches one after another; normalised."""
        tokens = self._model(pixel_values=pixels.to(self._device)).last_hidden_state.float()
        if self._reading == "subject":
            return functional.normalize(tokens[:, 0], dim=1).cpu()
        patches = functional.normalize(tokens[:, -self._patches :], dim=2)
        return functional.normalize((patches @ patches.mT).flatten(1), dim=1).cpu()


def _preparation(resized: int, side: int, mean: tuple[float, ...], deviation: tuple[float, ...]) -> v2.Compose:
    return v2.Compose(
        [
            v2.Resize(resized, interpolation=v2.InterpolationMode.BICUBIC),
            v2.CenterCrop(side),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(mean, deviation),
        ]
    )


def read_tensors(path: Path) -> dict[str, Tensor]:
    """What a safetensors file holds, in fp32; raises WeightsError."""
    log.info("loading %s", path)
    try:
        found = load_file(path)
    except Exception as error:  # safetensors' own error is no OSError
        raise WeightsError(f"{path} is no safetensors file ({error})") from error
    return {key: value.float() for key, value in found.items() if key != _UNUSED}


def _vision_transformer(state: Mapping[str, Tensor]) -> tuple[nn.Module, int]:
    """An empty CLIP vision transformer of the tensors' sizes, without a projection, and its input's side."""
    width, _, patch, _ = state["backbone.conv1.weight"].shape
    side = patch * round((len(state["backbone.positional_embedding"]) - 1) ** 0.5)
    hidden = len(state["backbone.transformer.resblocks.0.mlp.c_fc.bias"])
    layers = 1 + max(int(key.split(".")[3]) for key in state if key.startswith("backbone.transformer.resblocks."))
    model = VisionTransformer(
        side, patch, width, layers, heads=max(width // _HEAD_WIDTH, 1), mlp_ratio=hidden / width, output_dim=width,
        act_layer=QuickGELU,
    )  # fmt: skip
    model.proj = None
    return model.eval(), side
