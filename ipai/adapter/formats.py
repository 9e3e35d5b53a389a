"""Reading and writing adapter files, strictly: every tensor accounted for, or an error that names those that are not.

Ours is a flat `.safetensors` in the IP-Adapter layout whose header says everything a loader needs. IP-Adapter's own
files (`.bin` nested, `.safetensors` flat) and the released IPAdapter-Instruct checkpoint (`.bin`) can be read and
written too.
"""

import json
import logging
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from ipai.adapter.adapter import InstructAdapter, is_new_branch
from ipai.adapter.foreign import FileKind, State, identify, infer_spec
from ipai.adapter.spec import AdapterSpec
from ipai.errors import ConfigError, WeightsError
from ipai.files import atomic_path
from ipai.records import parsed

logger = logging.getLogger(__name__)

FORMAT, FORMAT_VERSION = "ipai-adapter", 1
Names = Literal["ip_adapter", "own"]
_OWN = "ipai."  # before each name that readers of IP-Adapter shall not know
_AS_RELEASED = {"image_proj.proj_out_big.": "image_proj.proj_out.", "image_proj.norm_out_big.": "image_proj.norm_out."}
"""What the authors' file for SD3 calls the last layers of the resampler."""
_HEADER = "ipai"  # one key only: safetensors writes several in an order that changes from run to run


@dataclass(frozen=True)
class _FileHeader:
    """The metadata of one of our files as it is written."""

    format: str
    version: int
    spec: dict[str, str]
    extra: dict[str, str]


@dataclass(frozen=True)
class _Header:
    """What the metadata of one of our files says."""

    spec: AdapterSpec
    extra: dict[str, str]


def save_adapter(
    adapter: InstructAdapter,
    path: Path,
    metadata: Mapping[str, str],
    dtype: torch.dtype = torch.float32,
    names: Names = "ip_adapter",
) -> None:
    """Write our format: a flat `.safetensors`, spec and `metadata` in its header; whole or not at all.

    Only the adapter's tensors are written, and equal adapters and metadata give equal bytes.

    Args:
        adapter: The adapter, with any device or dtype.
        path: Ends in `.safetensors`; an existing file is replaced.
        metadata: What else a reader should know: base and encoder ids, facts of the run.
        dtype: Of the tensors in the file; `load_adapter` gives float32 again.
        names: Of the tensors: `ip_adapter`, which readers of IP-Adapter open too, dropping the instruction branch
            without a word; or `own`, which they refuse.

    Raises:
        ConfigError: The suffix is another one, or a value of `metadata` is no text.
        WeightsError: A tensor is NaN or infinite, in `dtype` too, or has a name that the format does not know.
    """
    if path.suffix != ".safetensors":
        raise ConfigError(f"{path}: an adapter is saved as .safetensors")
    if not all(isinstance(part, str) for item in metadata.items() for part in item):
        raise ConfigError(f"{path}: the metadata of an adapter maps texts to texts, not {dict(metadata)!r}")
    tensors = {name: tensor.to(dtype) for name, tensor in _portable(adapter, f"the adapter for {path}").items()}
    overflown = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    if overflown:
        raise WeightsError(f"{path}: {dtype} cannot hold {', '.join(overflown)}; use bfloat16 or float32")
    header = {"format": FORMAT, "version": FORMAT_VERSION, "spec": adapter.spec.to_metadata(), "extra": dict(metadata)}
    with atomic_path(path) as aside:
        before = _OWN if names == "own" else ""
        named = {f"{before}{name}": tensor for name, tensor in tensors.items()}
        save_file(named, aside, {_HEADER: json.dumps(header, sort_keys=True)})


def load_adapter(path: Path) -> InstructAdapter:
    """Read an adapter in float32 on the CPU: one of ours, a released IPAdapter-Instruct, or an IP-Adapter Plus.

    For ours the header says what it is; for the two others the names and shapes of the tensors do.

    Raises:
        WeightsError: The file cannot be read, is made for another model, or is not complete.
    """
    state = read_state(path)
    kind = identify(state, str(path))
    header = _read_header(path)
    spec = infer_spec(state, kind, str(path)) if header is None else header.spec
    with torch.device("meta"):
        adapter = InstructAdapter(spec)
    load_state_strict(adapter, state, str(path))
    logger.info("read %s: %s, %d tensors", path, kind, len(state))
    return adapter


def read_metadata(path: Path) -> dict[str, str]:
    """The facts that were given to `save_adapter`; empty for files of other projects.

    Raises:
        WeightsError: The file cannot be read, or its header is damaged or from a later version.
    """
    header = _read_header(path)
    return {} if header is None else header.extra


def load_ip_adapter_plus(adapter: InstructAdapter, path: Path) -> None:
    """Start from a published IP-Adapter Plus (`.bin` or `.safetensors`): fill all but the new branch.

    Raises:
        WeightsError: The file cannot be read, is no IP-Adapter Plus, or does not fit the adapter.
    """
    state = read_state(path)
    kind = identify(state, str(path))
    if kind is not FileKind.PLUS:
        raise WeightsError(f"{path} is {kind}, not {FileKind.PLUS}; load it whole with `load_adapter`")
    ours = {name: tensor for name, tensor in adapter.state_dict().items() if not is_new_branch(name)}
    _refuse_misfit(ours, state, str(path))
    with torch.no_grad():
        for name, tensor in ours.items():
            tensor.copy_(state[name])


def load_state_strict(adapter: InstructAdapter, state: State, source: str) -> None:
    """Fill an adapter with exactly the tensors of `state`; an adapter on the meta device becomes float32 on the CPU.

    Raises:
        WeightsError: A tensor is missing, left over, misshapen, not of floating point, NaN or infinite; the message
            names each of them and `source`.
    """
    _refuse_misfit(adapter.state_dict(), state, source)
    if any(parameter.is_meta for parameter in adapter.parameters()):
        # copies, because tensors read from a file may be windows into it
        owned = {name: tensor.to("cpu", torch.float32, copy=True) for name, tensor in state.items()}
        adapter.load_state_dict(owned, strict=True, assign=True)
    else:
        adapter.load_state_dict(dict(state), strict=True)


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` or `.bin` file by their flat names; nested `.bin` names are joined with a dot.

    A `.bin` is a pickle; only tensors and plain containers are accepted, so a file cannot run code.

    Raises:
        WeightsError: The file is missing, truncated, of another type, or holds anything but tensors.
    """
    if not path.is_file():
        raise WeightsError(f"there is no adapter file at {path}")
    try:
        if path.suffix == ".safetensors":
            return {_our_name(name): tensor for name, tensor in load_file(path).items()}
        if path.suffix in (".bin", ".pt", ".pth"):
            content = _flatten(torch.load(path, map_location="cpu", weights_only=True), path)
            return {_our_name(name): tensor for name, tensor in content.items()}
    except pickle.UnpicklingError as error:
        raise WeightsError(f"{path} is no pickle of plain tensors, and nothing else is loaded: {error}") from error
    except WeightsError:
        raise
    except Exception as error:  # a damaged pickle can make the unpickler raise anything
        raise WeightsError(f"{path} is damaged or not what its suffix says; fetch it again ({error!r})") from error
    raise WeightsError(f"{path} ends in neither .safetensors nor .bin, so it is no adapter file")


def export_ip_adapter(adapter: InstructAdapter, path: Path) -> None:
    """Write an adapter without instruction in IP-Adapter's layout: `.bin` (nested) or `.safetensors` (flat), float32.

    Raises:
        ConfigError: The adapter has an instruction branch, which that layout cannot hold, or the suffix is another one.
        WeightsError: A tensor is NaN or infinite.
    """
    if adapter.spec.instruction != "none":
        raise ConfigError(
            f"an adapter with instruction={adapter.spec.instruction!r} cannot be written as an IP-Adapter: its readers "
            "would drop the instruction branch without a word; use `save_adapter`"
        )
    tensors = _portable(adapter, f"the adapter for {path}")
    if path.suffix == ".safetensors":
        with atomic_path(path) as aside:
            save_file(tensors, aside)
    else:
        _save_nested(tensors, path)


def export_released(adapter: InstructAdapter, path: Path) -> None:
    """Write the released variant as its `.bin`: {"image_proj", "ip_adapter"}, float32, 175 tensors for SD1.5.

    For SD3 the last layers of the resampler get the names that they have in the authors' file.

    Raises:
        ConfigError: The adapter lacks the prompt branch, or masks padding, which the released code does not.
        WeightsError: A tensor is NaN or infinite.
    """
    if adapter.spec.prompt_dim is None or adapter.spec.mask_padding:
        raise ConfigError(
            "the released code needs a prompt branch (prompt_dim) and does not mask padding; this adapter has "
            f"prompt_dim={adapter.spec.prompt_dim}, mask_padding={adapter.spec.mask_padding}"
        )
    tensors = _portable(adapter, f"the adapter for {path}")
    if adapter.spec.attention == "joint":
        renamed = {ours: theirs for theirs, ours in _AS_RELEASED.items()}
        tensors = {_renamed(name, renamed): tensor for name, tensor in tensors.items()}
    _save_nested(tensors, path)


def _our_name(name: str) -> str:
    return _renamed(name.removeprefix(_OWN), _AS_RELEASED)


def _renamed(name: str, starts: Mapping[str, str]) -> str:
    start = next((start for start in starts if name.startswith(start)), "")
    return starts.get(start, "") + name.removeprefix(start)


def _save_nested(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write a `.bin` with one dict for each top-level name."""
    if path.suffix != ".bin":
        raise ConfigError(f"{path}: this layout is written as .bin (IP-Adapters also as .safetensors)")
    nested: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        part, rest = name.split(".", 1)
        nested.setdefault(part, {})[rest] = tensor
    # a stream, because given a path torch writes the (temporary) file name into the archive
    with atomic_path(path) as aside, aside.open("wb") as stream:
        torch.save(nested, stream)


def _portable(adapter: InstructAdapter, source: str) -> dict[str, Tensor]:
    """An adapter's tensors ready to be written: complete, finite, float32, on the CPU, each with memory of its own."""
    with torch.device("meta"):
        expected = InstructAdapter(adapter.spec).state_dict()
    state = adapter.state_dict()
    _refuse_misfit(expected, state, source)
    return {name: state[name].to("cpu", torch.float32, copy=True).contiguous() for name in expected}


def _flatten(content: Any, path: Path) -> dict[str, Tensor]:
    """Nested dicts of tensors as one dict with joined names."""
    flat: dict[str, Tensor] = {}
    for name, value in content.items() if isinstance(content, Mapping) else [("its content", content)]:
        if isinstance(value, Tensor):
            flat[str(name)] = value
        elif isinstance(value, Mapping):
            flat |= {f"{name}.{rest}": tensor for rest, tensor in _flatten(value, path).items()}
        else:
            raise WeightsError(f"{path} is no adapter file: {name} is of type {type(value).__name__}, not a tensor")
    return flat


def _read_header(path: Path) -> _Header | None:
    """The header of one of our files; None for files of other projects."""
    if path.suffix != ".safetensors":
        return None
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(_HEADER)
        if text is None:
            return None
        header = parsed(text, _FileHeader)
        if (header.format, header.version) != (FORMAT, FORMAT_VERSION):
            raise WeightsError(f"its format is {header.format} {header.version}, not {FORMAT} {FORMAT_VERSION}")
        return _Header(AdapterSpec.from_metadata(header.spec), header.extra)
    except (WeightsError, SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"the header of {path} cannot be used: {error!r}") from error


def _refuse_misfit(expected: State, state: State, source: str) -> None:
    """Raise a WeightsError that names each tensor of `state` that is not as `expected` has it."""
    both = [name for name in expected if name in state]
    fits = [name for name in both if state[name].shape == expected[name].shape]
    floats = [name for name in fits if state[name].is_floating_point()]
    findings = {
        "missing": [f"{name} {list(expected[name].shape)}" for name in expected if name not in state],
        "left over": [f"{name} {list(state[name].shape)}" for name in state if name not in expected],
        "of the wrong shape": [
            f"{name} {list(state[name].shape)} instead of {list(expected[name].shape)}"
            for name in both
            if name not in fits
        ],
        "not of floating point": [f"{name} {state[name].dtype}" for name in fits if name not in floats],
        "NaN or infinite": [name for name in floats if not state[name].float().isfinite().all()],
    }
    sentences = [f"{len(names)} {what}: {', '.join(names)}." for what, names in findings.items() if names]
    if sentences:
        raise WeightsError(f"{source} does not fit this adapter. {' '.join(sentences)}")
