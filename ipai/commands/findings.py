"""What `ipai doctor` looks at, one thing after the other."""

import importlib.util
import netrc
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from importlib.metadata import version
from pathlib import Path
from typing import Literal
from urllib.request import Request, urlopen

from ipai.config import TrainingRun
from ipai.errors import IpaiError
from ipai.extras import BRINGS, to_install

_GB = 1e9
_ROOM = 20  # GB of disk that checkpoints of a run and weights want
_SHARED = 1  # GB of shared memory that the loader's processes want
_PATIENCE = 5  # seconds
_LIBRARIES = ("torch", "torchvision", "diffusers", "transformers", "open_clip_torch", "accelerate")


@dataclass(frozen=True)
class Finding:
    """One thing: ok, good to know, or to be mended before the run can start."""

    state: Literal["ok", "warning", "mend"]
    name: str
    what: str

    def __str__(self) -> str:
        return f"{self.state:8} {self.name:14} {self.what}"


def findings(config: TrainingRun) -> Iterator[Finding]:
    """Everything that a run with this configuration needs."""
    yield Finding("ok", "python", f"{platform.python_version()} on {platform.machine()}, {sys.executable}")
    yield Finding("ok", "libraries", ", ".join(f"{name} {version(name)}" for name in _LIBRARIES))
    yield from _devices(config)
    yield _shared_memory(config)
    yield _disk("runs", Path(config.runs_root))
    yield _disk("cache of hub", Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface")))
    yield from _weights(config)
    yield from _shards(config)
    yield _wandb(config)
    yield _slurm(config)
    missing = [extra for extra, names in BRINGS.items() if not all(map(importlib.util.find_spec, names))]
    yield Finding(
        "ok", "extras", f"not whole; {to_install(','.join(missing))} brings the rest" if missing else "all installed"
    )


def _devices(config: TrainingRun) -> Iterator[Finding]:
    import torch

    count = torch.cuda.device_count()
    for index in range(count):
        facts = torch.cuda.get_device_properties(index)
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
        what = f"{facts.name}, {facts.total_memory / _GB:.0f} GB, CUDA {torch.version.cuda}"
        yield Finding(
            "ok" if fast else "warning", f"GPU {index}", what + ("" if fast else "; no bf16: base.dtype=fp32")
        )
    if not count:
        built = f"torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "torch is built without CUDA"
        small = config.names.recipe in ("toy", "toy_prx", "smoke")
        why = "enough for this recipe" if small else f"recipe={config.names.recipe} would take years"
        yield Finding("ok" if small else "warning", "GPU", f"none ({built}); {os.cpu_count()} CPU cores: {why}")


def _shared_memory(config: TrainingRun) -> Finding:
    place = Path("/dev/shm")
    if not place.is_dir() or not config.data.workers:
        return Finding("ok", "shared memory", "not needed: data.workers=0, or this system has no limit of its own")
    free = shutil.disk_usage(place).free / _GB
    if free < _SHARED:
        mend = "start the container with a larger one (--shm-size=8g), or give data.workers=0"
        return Finding("warning", "shared memory", f"{free:.1f} GB for {config.data.workers} workers; {mend}")
    return Finding("ok", "shared memory", f"{free:.1f} GB")


def _disk(name: str, folder: Path) -> Finding:
    there = next(
        place for place in (folder.expanduser().resolve(), *folder.expanduser().resolve().parents) if place.exists()
    )
    free = shutil.disk_usage(there).free / _GB
    if not os.access(there, os.W_OK):
        return Finding("mend", name, f"{there} cannot be written; give runs_root= or set HF_HOME to a place that can")
    state: Literal["ok", "warning"] = "ok" if free >= _ROOM else "warning"
    return Finding(state, name, f"{free:.0f} GB free at {there}")


def _weights(config: TrainingRun) -> Iterator[Finding]:
    from ipai.backbones.config import weights_of
    from ipai.backbones.families import family_of
    from ipai.backbones.hub import is_here

    refs = weights_of(config.base)
    wanted = [part for part in (*family_of(config.base).parts, "instruction_encoder") if part in refs]
    missing = [part for part in wanted if not is_here(part, refs[part], config.base.family)]
    if not missing:
        yield Finding("ok", "weights", f"all {len(wanted)} parts of base={config.base.name} are on this machine")
        return
    reachable = _hub_answers()
    local = [part for part in missing if refs[part].id.startswith(("/", ".", "~"))]
    if local or not reachable:
        mend = f"base.{(local or missing)[0]}.id=FOLDER, or connect once: the hub does not answer from here"
        yield Finding("mend", "weights", f"{', '.join(missing)} of base={config.base.name} are not here; {mend}")
    else:
        yield Finding("warning", "weights", f"{', '.join(missing)} will be downloaded; the hub answers")


def _hub_answers() -> bool:
    from huggingface_hub.constants import ENDPOINT, HF_HUB_OFFLINE

    if HF_HUB_OFFLINE:
        return False
    try:
        with urlopen(Request(ENDPOINT, method="HEAD"), timeout=_PATIENCE):
            return True
    except (OSError, HTTPException):
        return False


def _shards(config: TrainingRun) -> Iterator[Finding]:
    from ipai.data.shards import NoShardsError, ShardSet

    if config.data.is_remote:
        yield Finding("ok", "shards", f"data.root={config.data.root} is a store; the run itself looks into it")
        return
    for task in config.tasks:
        sets = config.data.sets_of(task)
        for name, one in sets.items():
            try:
                root = Path(one.root).expanduser()
                found = {split: len(ShardSet.open(root, task, split)) for split in ("train", "val")}
                yield Finding("ok", f"shards {name}", ", ".join(f"{count:,} {split}" for split, count in found.items()))
            except NoShardsError as error:
                if name != task or len(sets) == 1:  # a task may have nothing but further sets
                    yield Finding("mend", f"shards {name}", str(error).splitlines()[0])
            except IpaiError as error:
                yield Finding("mend", f"shards {name}", str(error).splitlines()[0])


def _wandb(config: TrainingRun) -> Finding:
    if config.logger.wandb in ("off", "offline"):
        return Finding("ok", "wandb", f"{config.logger.wandb}; metrics go to the run folder")
    try:
        known = os.environ.get("WANDB_API_KEY") or netrc.netrc().authenticators("api.wandb.ai")
    except (OSError, netrc.NetrcParseError):
        known = None
    if known:
        return Finding("ok", "wandb", "there is a key")
    return Finding("warning", "wandb", "no key: `wandb login`, or logger=none; metrics go to the run folder anyway")


def _slurm(config: TrainingRun) -> Finding:
    there = shutil.which("sbatch")
    if config.launch.name == "slurm" and not there:
        return Finding("mend", "slurm", "launch=slurm, and there is no sbatch here; start it on a login node")
    return Finding("ok", "slurm", "sbatch is here" if there else "not here, and not asked for")
