"""The nodes: load an adapter, say what to take from a picture, put both into a model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from torch import Tensor

from ipai.backbones.config import BaseConfig
from ipai.errors import ConfigError
from ipai.files import CONF
from ipai.pipeline.encoding import Condition, Encoding
from ipai.pipeline.guidance import FourPass
from ipai.pipeline.passes import Pass
from ipai.pipeline.sources import load
from ipai.schema import typed

from .four_pass import FourPassSampler
from .sites import Applied, ImageAttention, refuse_other_model, sites_of

_ITS_OWN = "the adapter's own"
_PARTS = ("input", "middle", "output")
Inputs = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Chosen:
    """A picture, what to take from it, and the adapter that takes it."""

    encoding: Encoding
    condition: Condition


class LoadAdapter:
    """An adapter with its image and instruction encoders, which are downloaded on first use."""

    CATEGORY, FUNCTION = "ipai", "run"
    RETURN_TYPES, RETURN_NAMES = ("IPAI_ADAPTER",), ("adapter",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """What the node asks for."""
        tip = "a run folder, an exported folder or its id on the hub, or a .safetensors or .bin file"
        return {
            "required": {
                "source": ("STRING", {"default": "", "tooltip": tip}),
                "base": ([_ITS_OWN, *_bases()], {"tooltip": "where the encoders lie; files do not say it"}),
                "weights": (["ema", "raw"],),
            }
        }

    def run(self, source: str, base: str, weights: str) -> tuple[Encoding]:
        """The adapter and its encoders."""
        own = None if base == _ITS_OWN else _base(base)
        loaded = load(Path(source).expanduser() if source[:1] in "/.~" else source, weights=weights, base=own)  # type: ignore[arg-type]
        if loaded.base is None and own is None:
            raise ConfigError("only a run folder or an exported one says which encoders belong to it; choose a base")
        place = loaded.base or own
        assert place is not None
        adapter, device = loaded.adapter.requires_grad_(False), _device()
        return (Encoding(adapter.to(device, torch.float32), place, device),)


class TakeFromPicture:
    """A picture, and by an instruction what to take from it; several are chained."""

    CATEGORY, FUNCTION = "ipai", "run"
    RETURN_TYPES, RETURN_NAMES = ("IPAI_CONDITIONS",), ("conditions",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """What the node asks for."""
        return {
            "required": {
                "adapter": ("IPAI_ADAPTER",),
                "image": ("IMAGE", {"tooltip": "the first of a batch"}),
                "instruction": ("STRING", {"default": "use the style", "multiline": True}),
                "object": ("STRING", {"default": "", "tooltip": "fills {object} in the instruction"}),
                "weight": ("FLOAT", {"default": 1.0, "min": -2.0, "max": 3.0, "step": 0.05}),
            },
            "optional": {"before": ("IPAI_CONDITIONS",)},
        }

    def run(
        self, adapter: Encoding, image: Tensor, instruction: str, object: str, weight: float,
        before: tuple[Chosen, ...] = (),
    ) -> tuple[tuple[Chosen, ...]]:  # fmt: skip
        """Those before and this one."""
        picture = image[0].movedim(-1, 0).clamp(0, 1).cpu()
        told = None if adapter.adapter.spec.instruction == "none" else instruction  # IP-Adapter Plus is told nothing
        return ((*before, Chosen(adapter, Condition(picture, told, object or None, weight))),)


class ApplyToModel:
    """The pictures in a model, from one share of the sampling to another, by parts of the UNet."""

    CATEGORY, FUNCTION = "ipai", "run"
    RETURN_TYPES = ("MODEL",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """What the node asks for."""
        share = {"min": 0.0, "max": 1.0, "step": 0.01}
        part = {"default": 1.0, "min": 0.0, "max": 2.0, "step": 0.05}
        text = {"default": "", "multiline": True}
        scale = {"min": -20.0, "max": 20.0, "step": 0.1}
        return {
            "required": {
                "model": ("MODEL",),
                "conditions": ("IPAI_CONDITIONS",),
                "scale": ("FLOAT", {"default": 0.7, "min": 0.0, "max": 2.0, "step": 0.05}),
                "start_percent": ("FLOAT", {"default": 0.0, **share}),
                "end_percent": ("FLOAT", {"default": 1.0, **share}),
                **{f"{name}_blocks": ("FLOAT", part) for name in _PARTS},
            },
            "optional": {
                "guidance": (["ordinary", "four_pass"],),
                "s_instruct": ("FLOAT", {"default": FourPass.s_instruct, **scale}),
                "s_text": ("FLOAT", {"default": FourPass.s_text, **scale}),
                "s_image": ("FLOAT", {"default": FourPass.s_image, **scale}),
                "prompt": ("STRING", {**text, "tooltip": "the prompt's text, for adapters that read it (released)"}),
                "negative": ("STRING", {**text, "tooltip": "the negative prompt's text: four_pass, and as above"}),
            },
        }

    def run(
        self, model: Any, conditions: tuple[Chosen, ...], scale: float, start_percent: float, end_percent: float,
        input_blocks: float, middle_blocks: float, output_blocks: float, guidance: str = "ordinary",
        s_instruct: float = FourPass.s_instruct, s_text: float = FourPass.s_text, s_image: float = FourPass.s_image,
        prompt: str = "", negative: str = "",
    ) -> tuple[Any]:  # fmt: skip
        """A copy of the model in which the conditions act."""
        from comfy.ldm.modules.attention import optimized_attention
        from comfy.samplers import calc_cond_batch

        sites = sites_of(model.get_model_object("diffusion_model"))
        sampling = model.get_model_object("model_sampling")
        sigmas = float(sampling.percent_to_sigma(start_percent)), float(sampling.percent_to_sigma(end_percent))
        by_part = dict(zip(_PARTS, (input_blocks, middle_blocks, output_blocks), strict=True))
        four = FourPass(s_instruct, s_text, s_image) if guidance == "four_pass" else None
        applied = []
        for chosen in conditions:
            refuse_other_model(sites, chosen.encoding.adapter)
            weights = {part: scale * weight * chosen.condition.weight for part, weight in by_part.items()}
            applied.append(Applied(chosen.encoding.adapter, tokens_of(chosen, prompt, negative, four), weights, sigmas))
        changed = model.clone()
        for number, site in enumerate(sites):
            earlier = _earlier(changed, site.part, site.block, site.transformer)
            attention = ImageAttention(number, site.part, optimized_attention, [*earlier, *applied])
            changed.set_model_attn2_replace(attention, site.part, site.block, site.transformer)
        if four is not None:
            sampler = FourPassSampler(four, applied, calc_cond_batch)
            changed.model_options["sampler_calc_cond_batch_function"] = sampler
        return (changed,)


@torch.no_grad()
def tokens_of(chosen: Chosen, prompt: str, negative: str, four: FourPass | None) -> dict[Pass, Tensor]:
    """Condition tokens of every pass that is wanted, as `FourPass` says, fp32 [1, num_queries, width]."""
    encoding = chosen.encoding
    picture, told = encoding.image(chosen.condition.image), encoding.instruction_of(chosen.condition)
    (nothing,) = encoding.base.nothing_asked((negative,)) or ("",)
    positive, against = encoding.prompt(prompt), encoding.prompt(nothing)
    made = {
        "full": encoding.tokens(picture, [told], positive),
        "null": encoding.tokens(encoding.null_image, [""], against),
    }
    if four is not None:
        made["image"] = encoding.tokens(picture, [nothing], against)
        made["every"] = encoding.tokens(picture, [four.everything], positive)
    return made  # type: ignore[return-value]


def _earlier(model: Any, part: str, block: int, transformer: int) -> list[Applied]:
    """What an Apply node before this one put there; other nodes' attentions are replaced, as ComfyUI does."""
    options = model.model_options.get("transformer_options", {})
    found = options.get("patches_replace", {}).get("attn2", {}).get((part, block, transformer))
    return found.applied if isinstance(found, ImageAttention) else []


def _bases() -> list[str]:
    return [path.stem for path in sorted((CONF / "base").glob("*.yaml")) if "micro" not in path.stem]


def _base(name: str) -> BaseConfig:
    """A base by the name of its file in `conf/base`."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        config: BaseConfig = typed(compose("train", overrides=[f"base={name}"]).base, BaseConfig)
    return config


def _device() -> torch.device:
    from comfy.model_management import get_torch_device

    device: torch.device = get_torch_device()
    return device


NODE_CLASS_MAPPINGS = {
    "IpaiLoadAdapter": LoadAdapter,
    "IpaiTakeFromPicture": TakeFromPicture,
    "IpaiApplyToModel": ApplyToModel,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "IpaiLoadAdapter": "Load IPAdapter-Instruct",
    "IpaiTakeFromPicture": "Take from a picture (IPAdapter-Instruct)",
    "IpaiApplyToModel": "Apply IPAdapter-Instruct",
}
