"""Every part that a base or a teacher can have: its files, its class, and what its configuration tells; one row each.

Imports nothing slow: the classes of diffusers and transformers are looked up when they are used.
"""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple


class Part(NamedTuple):
    """How one part lies on disk and is read.

    Attributes:
        files: Sets of files, the configuration first in each; the first complete set is taken.
        library: Where its class is: diffusers, transformers or open_clip.
        kind: The class's name there.
        config: The class that reads its configuration in transformers; None for other libraries.
    """

    files: tuple[tuple[str, ...], ...]
    library: str
    kind: str
    config: str | None = None

    @property
    def weights(self) -> str:
        """The file that holds its tensors."""
        return self.files[0][1]

    @property
    def precision(self) -> str:
        """What its library calls the precision of what it loads."""
        return "torch_dtype" if self.library == "diffusers" else "dtype"

    def load_class(self) -> Any:
        """The class, imported now."""
        return getattr(importlib.import_module(self.library), self.kind)

    def read(self, folder: Path) -> Any:
        """What its configuration says, with the library's defaults filled in; see `loading.read_config`."""
        if self.config is not None:
            return getattr(importlib.import_module(self.library), self.config).from_pretrained(folder)
        return _READERS[self.kind](self, folder)


def _read_on_meta(part: Part, folder: Path) -> Any:
    """The network itself without memory for its weights: what attends where follows from no simple setting."""
    import torch

    kind = part.load_class()
    with torch.device("meta"):
        return kind.from_config(kind.load_config(folder, local_files_only=True))


def _read_vae(part: Part, folder: Path) -> Any:
    return _read_on_meta(part, folder).config


def _read_scheduler(part: Part, folder: Path) -> Any:
    return part.load_class().from_pretrained(folder, local_files_only=True).config


def _read_tokenizer(_: Part, folder: Path) -> Any:
    return json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))


def _read_open_clip(_: Part, folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "open_clip_config.json").read_text(encoding="utf-8"))["model_cfg"]
    for key, section in (("embed_dim", config), ("text_cfg", config), ("width", config["text_cfg"])):
        if key not in section:
            raise KeyError(key)
    return config


_READERS: dict[str, Callable[[Part, Path], Any]] = {
    "UNet2DConditionModel": _read_on_meta,
    "ControlNetModel": _read_on_meta,
    "AutoencoderKL": _read_vae,
    "DDPMScheduler": _read_scheduler,
    "CLIPTokenizer": _read_tokenizer,
    "CLIP": _read_open_clip,
}

_DIFFUSERS = (("config.json", "diffusion_pytorch_model.safetensors"),)
_TRANSFORMERS = (("config.json", "model.safetensors"),)
_TOKENIZER = (
    ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"),
    ("tokenizer.json", "tokenizer_config.json"),
)

PARTS: dict[str, Part] = {
    "unet": Part(_DIFFUSERS, "diffusers", "UNet2DConditionModel"),
    "vae": Part(_DIFFUSERS, "diffusers", "AutoencoderKL"),
    "text_encoder": Part(_TRANSFORMERS, "transformers", "CLIPTextModel", "CLIPTextConfig"),
    "tokenizer": Part(_TOKENIZER, "transformers", "CLIPTokenizer"),
    "scheduler": Part((("scheduler_config.json",),), "diffusers", "DDPMScheduler"),
    "image_encoder": Part(_TRANSFORMERS, "transformers", "CLIPVisionModelWithProjection", "CLIPVisionConfig"),
    "instruction_encoder": Part((("open_clip_config.json", "open_clip_model.safetensors"),), "open_clip", "CLIP"),
    # The teachers of generating builders have these as well.
    "controlnet": Part(_DIFFUSERS, "diffusers", "ControlNetModel"),
    "text_encoder_2": Part(_TRANSFORMERS, "transformers", "CLIPTextModelWithProjection", "CLIPTextConfig"),
    "tokenizer_2": Part(_TOKENIZER, "transformers", "CLIPTokenizer"),
    "content_encoder": Part(_TRANSFORMERS, "transformers", "CLIPTextModelWithProjection", "CLIPTextConfig"),
    "content_tokenizer": Part(_TOKENIZER, "transformers", "CLIPTokenizer"),
}
"""By the names that configurations give them."""
