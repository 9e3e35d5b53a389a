"""Every part that a base or a teacher can have: its files, its class, and what its configuration tells; one row each.

A family whose part of that name is of another class has a row of its own, `<family>.<part>`.

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
        library: Where its class is: a module of diffusers, transformers or open_clip.
        kind: The class's name there.
        config: The class that reads its configuration in transformers; None for other libraries.
        is_tokenizer: It cuts texts, and has neither weights nor sizes.
    """

    files: tuple[tuple[str, ...], ...]
    library: str
    kind: str
    config: str | None = None
    is_tokenizer: bool = False

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
    "SD3Transformer2DModel": _read_on_meta,
    "FluxTransformer2DModel": _read_on_meta,
    "PRXTransformer2DModel": _read_on_meta,
    "AutoencoderKL": _read_vae,
    "DDPMScheduler": _read_scheduler,
    "FlowMatchEulerDiscreteScheduler": _read_scheduler,
    "CLIPTokenizer": _read_tokenizer,
    "T5Tokenizer": _read_tokenizer,
    "AutoTokenizer": _read_tokenizer,
    "CLIP": _read_open_clip,
}

_INDEX = ".safetensors.index.json"  # how the name of a file ends that lists the files of a large network
_DIFFUSERS = (
    ("config.json", "diffusion_pytorch_model.safetensors"),
    ("config.json", f"diffusion_pytorch_model{_INDEX}"),
)
_TRANSFORMERS = (("config.json", "model.safetensors"), ("config.json", f"model{_INDEX}"))
_TOKENIZER = (
    ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"),
    ("tokenizer.json", "tokenizer_config.json"),
)
_SCHEDULER = (("scheduler_config.json",),)
_SENTENCEPIECE = (("tokenizer.json", "tokenizer_config.json"), ("spiece.model", "tokenizer_config.json"))

_T5GEMMA = "transformers.models.t5gemma.modeling_t5gemma"  # transformers does not say its encoder on the outside

PARTS: dict[str, Part] = {
    "unet": Part(_DIFFUSERS, "diffusers", "UNet2DConditionModel"),
    "vae": Part(_DIFFUSERS, "diffusers", "AutoencoderKL"),
    "text_encoder": Part(_TRANSFORMERS, "transformers", "CLIPTextModel", "CLIPTextConfig"),
    "tokenizer": Part(_TOKENIZER, "transformers", "CLIPTokenizer", is_tokenizer=True),
    "scheduler": Part(_SCHEDULER, "diffusers", "DDPMScheduler"),
    "image_encoder": Part(_TRANSFORMERS, "transformers", "CLIPVisionModelWithProjection", "CLIPVisionConfig"),
    "instruction_encoder": Part((("open_clip_config.json", "open_clip_model.safetensors"),), "open_clip", "CLIP"),
    # The teachers of generating builders have these as well.
    "controlnet": Part(_DIFFUSERS, "diffusers", "ControlNetModel"),
    "text_encoder_2": Part(_TRANSFORMERS, "transformers", "CLIPTextModelWithProjection", "CLIPTextConfig"),
    "tokenizer_2": Part(_TOKENIZER, "transformers", "CLIPTokenizer", is_tokenizer=True),
    "content_encoder": Part(_TRANSFORMERS, "transformers", "CLIPTextModelWithProjection", "CLIPTextConfig"),
    "content_tokenizer": Part(_TOKENIZER, "transformers", "CLIPTokenizer", is_tokenizer=True),
    # Those of transformers that denoise.
    "sd3.transformer": Part(_DIFFUSERS, "diffusers", "SD3Transformer2DModel"),
    "sd3.scheduler": Part(_SCHEDULER, "diffusers", "FlowMatchEulerDiscreteScheduler"),
    "sd3.text_encoder": Part(_TRANSFORMERS, "transformers", "CLIPTextModelWithProjection", "CLIPTextConfig"),
    "sd3.text_encoder_3": Part(_TRANSFORMERS, "transformers", "T5EncoderModel", "T5Config"),
    "sd3.tokenizer_3": Part(_SENTENCEPIECE, "transformers", "T5Tokenizer", is_tokenizer=True),
    "flux.transformer": Part(_DIFFUSERS, "diffusers", "FluxTransformer2DModel"),
    "flux.scheduler": Part(_SCHEDULER, "diffusers", "FlowMatchEulerDiscreteScheduler"),
    "flux.text_encoder_2": Part(_TRANSFORMERS, "transformers", "T5EncoderModel", "T5Config"),
    "flux.tokenizer_2": Part(_SENTENCEPIECE, "transformers", "T5Tokenizer", is_tokenizer=True),
    "prx.transformer": Part(_DIFFUSERS, "diffusers", "PRXTransformer2DModel"),
    "prx.scheduler": Part(_SCHEDULER, "diffusers", "FlowMatchEulerDiscreteScheduler"),
    "prx.text_encoder": Part(_TRANSFORMERS, _T5GEMMA, "T5GemmaEncoder", "T5GemmaModuleConfig"),
    "prx.tokenizer": Part(_SENTENCEPIECE, "transformers", "AutoTokenizer", is_tokenizer=True),
    "prx_clip.transformer": Part(_DIFFUSERS, "diffusers", "PRXTransformer2DModel"),
    "prx_clip.scheduler": Part(_SCHEDULER, "diffusers", "FlowMatchEulerDiscreteScheduler"),
}
"""By the names that configurations give them."""


def row_of(part: str, family: str = "") -> Part:
    """The row of a part of a base of that family; of a teacher or anybody's without one."""
    return PARTS.get(f"{family}.{part}") or PARTS[part]


def shards_named_in(index: Path) -> list[str]:
    """The files of a network that is too large for one, from its `*.safetensors.index.json`; [] for other files.

    Raises:
        ValueError: It is no such list, or names files of other folders.
    """
    if not index.name.endswith(_INDEX):
        return []
    held = json.loads(index.read_text(encoding="utf-8"))
    named = held.get("weight_map") if isinstance(held, dict) else None
    if not isinstance(named, dict) or not all(isinstance(name, str) for name in named.values()):
        raise ValueError(f"{index} has no weight_map from tensors to files")
    names = sorted(set(named.values()))
    if any(Path(name).name != name for name in names):
        raise ValueError(f"{index} names files outside of its folder")
    return names


def files_of(part: Part, folder: Path) -> list[str]:
    """The names of a part's files that are in a folder, large networks' shards included."""
    here = [name for name in dict.fromkeys(name for names in part.files for name in names) if (folder / name).is_file()]
    return [*here, *(shard for name in here for shard in shards_named_in(folder / name))]
