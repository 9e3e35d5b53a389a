"""What a table has to say of where it was measured, without a name of the machine."""

import importlib.metadata
import os
import platform
import sys
from pathlib import Path
from typing import Any

import torch

_PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "webdataset", "torchvision", "pillow", "numpy")


def describe() -> dict[str, Any]:
    """Processor, memory, GPU, threads, load, versions and command."""
    return {
        "processor": _processor(),
        "cores usable": len(os.sched_getaffinity(0)),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "load average (1 min)": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "command": " ".join(["python", *sys.argv]),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line for line in lines if line.startswith("flags")), "")
    fast = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags.split()]
    return f"{models[0] if models else platform.processor() or platform.machine()} ({', '.join(fast)})"
