"""Loading each part from its local folder: safetensors only, in its final precision, nothing missing, frozen."""

import logging
import os
import time
from functools import lru_cache
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ipai.backbones.parts import Part, row_of
from ipai.backbones.quiet import quiet_bars
from ipai.errors import ConfigError, WeightsError

log = logging.getLogger(__name__)

_TOO_SLOW = 4
TORCH_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    """The precision of the frozen parts: `auto` is bf16 on GPUs that compute in it, and fp32 elsewhere.

    Raises:
        ConfigError: `name` is none of auto, bf16, fp16, fp32.
    """
    if name in TORCH_DTYPES:
        return TORCH_DTYPES[name]
    if name != "auto":
        raise ConfigError(f"base.dtype={name} is none of auto, {', '.join(TORCH_DTYPES)}")
    fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if fast else torch.float32


def warn_of_slow(name: str, device: torch.device | str) -> None:
    """Say once where a CPU computes in the precision `name` by emulation, which takes several times as long.

    Of several processes the first says it, and of an evaluation's the one that started them.
    """
    place, rank = torch.device(device), os.environ.get("RANK")
    dtype = resolve_dtype(name, place)
    told_by_another = parent_process() is not None if rank is None else rank != "0"
    if place.type != "cpu" or dtype == torch.float32 or told_by_another:
        return
    if (times := _times_as_slow(dtype)) > _TOO_SLOW:
        _say_once(
            f"this CPU takes {times:.0f} times as long for a product in {name} as in fp32, which trainings use with "
            "base.dtype=fp32 and evaluations with dtype=fp32"
        )


@lru_cache
def _say_once(message: str) -> None:
    log.warning(message)


@lru_cache
def _times_as_slow(dtype: torch.dtype) -> float:
    return _product_s(dtype) / _product_s(torch.float32)


def _product_s(dtype: torch.dtype) -> float:
    """Seconds of a product of two matrices of 256 x 256 on the CPU, the fastest of five."""
    one, found = torch.ones(256, 256, dtype=dtype), []
    for _ in range(5):
        began = time.perf_counter()
        one @ one
        found.append(time.perf_counter() - began)
    return min(found)


def resolve_device(name: str) -> torch.device:
    """Where inference runs: `auto` is a CUDA GPU if there is one, else Apple's, else the CPU.

    Raises:
        ConfigError: There is no such device here.
    """
    gpus = torch.cuda.device_count()
    best = "cuda" if gpus else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(best if name == "auto" else name)
    except RuntimeError as error:
        raise ConfigError(f"device={name} is none of auto, cpu, cuda, cuda:N, mps") from error
    if device.type == "cuda" and (device.index or 0) >= gpus:
        raise ConfigError(f"device={name} is not here: there are {gpus} GPUs; give device=auto or device=cpu")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError(f"device={name} is not here; give device=auto or device=cpu")
    if device.type not in ("cpu", "cuda", "mps"):
        raise ConfigError(f"device={name} is none of auto, cpu, cuda, cuda:N, mps")
    return device


def vae_dtype(dtype: torch.dtype) -> torch.dtype:
    """The VAE's own precision: its activations overflow fp16 (latents become NaN), so that becomes fp32."""
    return torch.float32 if dtype == torch.float16 else dtype


def freeze(module: nn.Module) -> None:
    """Evaluation mode, no gradients to any parameter."""
    module.eval().requires_grad_(False)


def read_config(part: str, folder: Path, family: str = "") -> Any:
    """What the configuration file of a part of a family says, with the library's defaults filled in; reads no weights.

    Raises:
        WeightsError: The file cannot be read, or is not of this kind of model.
    """
    try:
        return row_of(part, family).read(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"the configuration of {part} in {folder} cannot be used: {error}") from error


def load_part(part: str, folder: Path, dtype: torch.dtype, device: torch.device, family: str = "") -> Any:
    """Load one part of a family; networks come frozen, in `dtype` (the VAE never in fp16) and on `device`.

    Raises:
        WeightsError: Tensors are missing or misshapen, or the files cannot be read.
    """
    log.info("loading %s from %s", part, folder)
    row = row_of(part, family)
    if len(row.files[0]) == 1 or row.is_tokenizer:
        try:
            return row.load_class().from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise _unloadable(part, folder, error) from error
    network = _load_network(part, row, folder, vae_dtype(dtype) if part == "vae" else dtype)
    freeze(network)
    return network.to(device)


def _load_network(name: str, part: Part, folder: Path, dtype: torch.dtype) -> Any:
    options: dict[str, Any] = {part.precision: dtype, "use_safetensors": True, "local_files_only": True}
    if part.config is not None:
        options["config"] = part.read(folder)
    try:
        with quiet_bars():
            network, info = part.load_class().from_pretrained(folder, **options, output_loading_info=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise _unloadable(name, folder, error) from error
    # Both libraries only log this and go on with random values in the gaps.
    for kind in ("missing_keys", "mismatched_keys", "error_msgs"):
        if info[kind]:
            raise WeightsError(f"{name} in {folder} does not fill its model: {kind} {sorted(map(str, info[kind]))[:8]}")
    return network


def _unloadable(part: str, folder: Path, error: Exception) -> WeightsError:
    return WeightsError(f"cannot load {part} from {folder}: {error}")
