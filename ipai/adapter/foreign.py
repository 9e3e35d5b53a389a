"""Telling adapter files apart by the names and shapes of their tensors, and refusing those made for other models."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import cast

import torch
from torch import Tensor

from ipai.adapter.attentions import ATTENTIONS
from ipai.adapter.spec import AdapterSpec, Attention
from ipai.errors import ConfigError, WeightsError

State = Mapping[str, Tensor]
"""Tensors by their flat names: `image_proj.*`, `ip_adapter.*`."""

_KEYS = re.compile(r"ip_adapter\.(\d+)\.to_k_ip\.weight")
_ATTENTION = re.compile(r"ip_adapter\.\d+\.(.+)").fullmatch
_LAYERS = re.compile(r"image_proj\.layers\.(\d+)\.")
_HEAD_DIM = 64  # the files do not say it; every published Plus resampler and diffusers' reader use 64

# The first part of a name that matches says what the file is, so the more specific ones stand first.
_FOREIGN = (
    (".norm_ip.", "an IP-Adapter for SD3.5 (time-dependent projection)"),
    ("double_blocks.", "an IP-Adapter for FLUX"),
    ("image_proj.perceiver_resampler.", "an IP-Adapter FaceID Plus"),
    ("image_proj.proj.3.", "an IP-Adapter Full Face"),
    ("image_proj.proj.2.", "an IP-Adapter FaceID"),
    ("image_proj.proj.weight", "a plain IP-Adapter (4 tokens from the pooled image embedding, not Plus)"),
    ("image_proj_model.", "a training checkpoint of IP-Adapter's tutorial trainers, which must be converted first"),
    ("adapter_modules.", "a training checkpoint of IP-Adapter's tutorial trainers, which must be converted first"),
    ("model.diffusion_model.", "a whole Stable Diffusion checkpoint"),
    ("down_blocks.", "a UNet or a LoRA for one"),
)


class FileKind(StrEnum):
    """The adapters that this project reads, in words for messages."""

    PLUS = "an IP-Adapter Plus"
    INSTRUCT = "an IPAdapter-Instruct with an instruction branch"
    RELEASED = "an IPAdapter-Instruct with instruction and prompt branches (the released variant)"


def identify(state: State, source: str) -> FileKind:
    """Which kind of adapter the tensors are, by their names; whether they are complete is for the loader to check.

    Raises:
        WeightsError: They are made for another model or are no adapter at all; the message says what they are.
    """
    foreign = describe_foreign(state)
    if foreign is not None:
        raise WeightsError(
            f"{source} is {foreign}; what works here is IP-Adapter Plus, or IPAdapter-Instruct for SD1.5, SDXL or SD3"
        )
    if "image_proj.latents" not in state:
        raise WeightsError(f"{source} is no adapter: it has no image_proj.latents; it holds {_some_names(state)}")
    if any(name.startswith("image_proj.prompt_layers.") for name in state):
        return FileKind.RELEASED
    if any(name.startswith("image_proj.new_input_layers.") for name in state):
        return FileKind.INSTRUCT
    return FileKind.PLUS


def describe_foreign(state: State) -> str | None:
    """What a file is that this project knows but cannot use, or None."""
    return next((text for part, text in _FOREIGN if any(part in name for name in state)), None)


def infer_spec(state: State, kind: FileKind, source: str) -> AdapterSpec:
    """Read the sizes of a file without metadata from its tensors; heads are taken to be 64 wide, as published.

    Raises:
        WeightsError: A tensor is missing whose shape decides a size, the shapes make no adapter, or the file is an
            INSTRUCT one, whose tensors do not say whether it reads tokens or a pooled vector.
    """
    if kind is FileKind.INSTRUCT:
        raise WeightsError(f"{source} is {kind} without this project's metadata: how it reads instructions is unknown")

    def size(name: str, axis: int) -> int:
        if name not in state or state[name].ndim <= axis:
            raise WeightsError(f"{source} is {kind}, but its tensor {name} is missing or has no axis {axis}")
        return state[name].shape[axis]

    width = size("image_proj.proj_in.weight", 0)
    numbers = sorted(int(match[1]) for match in map(_KEYS.fullmatch, state) if match)
    layers = {match[1] for match in map(_LAYERS.match, state) if match}
    branch = "image_proj.new_input_layers.0.1.1.weight"
    released = kind is FileKind.RELEASED
    try:
        return AdapterSpec(
            image_dim=size("image_proj.proj_in.weight", 1),
            token_dim=size("image_proj.proj_out.weight", 0),
            attention_sizes=tuple(size(f"ip_adapter.{number}.to_k_ip.weight", 0) for number in numbers),
            width=width,
            depth=len(layers),
            heads=size("image_proj.layers.0.0.to_q.weight", 0) // _HEAD_DIM,
            head_dim=_HEAD_DIM,
            num_queries=size("image_proj.latents", 1),
            ff_mult=size("image_proj.layers.0.1.1.weight", 0) // width,
            instruction="tokens" if released else "none",
            instruction_dim=size("image_proj.proj_new_input.weight", 1) if released else AdapterSpec.instruction_dim,
            branch_ff_mult=size(branch, 0) // width if released else AdapterSpec.branch_ff_mult,
            prompt_dim=size("image_proj.proj_prompt_input.weight", 1) if released else None,
            attention=_attention_of(state),
        )
    except (ConfigError, ZeroDivisionError) as error:
        raise WeightsError(f"{source} is {kind}, but the shapes of its tensors make no adapter: {error}") from error


def _attention_of(state: State) -> Attention:
    """The kind of image attention by the names of its tensors: the one whose names are all there, and no others."""
    named = {match[1] for match in map(_ATTENTION, state) if match}
    for kind, made in ATTENTIONS.items():
        with torch.device("meta"):
            if made(1, 1).state_dict().keys() == named:
                return cast(Attention, kind)
    return "decoupled"  # something is missing or left over, which the strict loader names


def _some_names(state: State) -> str:
    """The first names of a file, to recognise it by."""
    return ", ".join(sorted(state)[:5]) or "nothing"
