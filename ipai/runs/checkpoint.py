"""Checkpoints that are whole or not there: a folder is filled aside, sealed with hashes, and renamed.

`step-00001000/` holds `adapter.safetensors`, `optimizer.safetensors`, `ema.safetensors` if there is an average, and
`state.json` with the hash of each, what the run is made from, and a seal over itself; `latest` links to the newest.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ipai.errors import CheckpointError
from ipai.files import sha256_of, sync, write_json
from ipai.records import RecordError, parsed, read_record
from ipai.runs.step_folders import name_of, step_folders

log = logging.getLogger(__name__)

FORMAT_VERSION = 2
_UNSEALED = 1  # the format before, which is read too
ADAPTER, EMA, OPTIMIZER, STATE = "adapter.safetensors", "ema.safetensors", "optimizer.safetensors", "state.json"


@dataclass(frozen=True)
class Progress:
    """Where a run is: everything that is neither weights nor configuration."""

    step: int
    samples_seen: int
    skipped_samples: int = 0


def save(
    folder: Path,
    progress: Progress,
    writers: dict[str, Callable[[Path], None]],
    keep: int,
    origin: Mapping[str, str] | None = None,
) -> Path:
    """Write a checkpoint below `folder`, point `latest` to it, then remove all but the newest `keep`.

    Args:
        folder: The run's `checkpoints` folder.
        progress: What goes into `state.json`.
        writers: File name -> a function that writes that file.
        keep: How many checkpoints stay, of those up to this step. Whatever else lies there is left alone.
        origin: Digests of what the run is made from, see `ipai.training.made_from`.
    """
    final = folder / name_of(progress.step)
    if _is_whole(final):
        return final  # saved for another reason a moment ago
    aside = folder / f".{final.name}.tmp"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        for name, write in writers.items():
            write(aside / name)
            sync(aside / name)
        hashes = {name: sha256_of(aside / name) for name in sorted(writers)}
        state = {"format": FORMAT_VERSION, **asdict(progress), "origin": dict(origin or {}), "sha256": hashes}
        write_json(aside / STATE, state | {"seal": _seal_of(state)})
    except (OSError, SafetensorError) as error:  # safetensors has an error of its own for a full disk
        shutil.rmtree(aside, ignore_errors=True)
        reason = error.strerror if isinstance(error, OSError) else error
        raise CheckpointError(
            f"the checkpoint of step {progress.step} could not be written to {folder} ({reason}); "
            "earlier checkpoints are untouched: make room, then run the same command"
        ) from error
    _remove(final)  # only a damaged one, or a link to another place, can still be here
    aside.replace(final)
    _link_latest(folder, final.name)
    sync(folder)
    own = [path for step, path in step_folders(folder).items() if step <= progress.step]
    for old in own[:-keep]:
        _remove(old)
    return final


def _remove(checkpoint: Path) -> None:
    """Remove a checkpoint's folder, or the link to it, if it is there; what cannot be removed is said and stays."""
    try:
        if checkpoint.is_symlink():
            checkpoint.unlink()
        elif checkpoint.exists():
            shutil.rmtree(checkpoint)
    except OSError as error:
        log.warning("%s cannot be removed (%s)", checkpoint, error.strerror or error)


def _is_whole(checkpoint: Path) -> bool:
    try:
        verify(checkpoint)
    except CheckpointError:
        return False
    return True


def newest(folder: Path, only: Collection[str] | None = None) -> Path | None:
    """The newest whole checkpoint below `folder`; damaged ones are reported and passed over.

    Args:
        folder: The run's `checkpoints` folder.
        only: Look at these of its files, for those who read no others; None is all.
    """
    for step, candidate in reversed(step_folders(folder).items()):
        try:
            if verify(candidate, only).step != step:
                raise CheckpointError(f"{candidate} is a checkpoint of another step under this name")
            return candidate
        except CheckpointError as error:
            log.warning("%s; looking for an older checkpoint", error)
    return None


def verify(checkpoint: Path, only: Collection[str] | None = None) -> Progress:
    """Check the files of a checkpoint against their hashes: those in `only`, or all.

    Raises:
        CheckpointError: A file is missing or damaged, or the format is of another version.
    """
    for name, expected in _read_state(checkpoint).sha256.items():
        path = checkpoint / name
        if (only is None or name in only) and (not path.is_file() or sha256_of(path) != expected):
            raise CheckpointError(f"{path} is missing or damaged")
    return progress_of(checkpoint)


def progress_of(checkpoint: Path) -> Progress:
    """What a checkpoint says of where its run was; its files were looked at before, by `newest`.

    Raises:
        CheckpointError: The state is missing, damaged or of another version.
    """
    state = _read_state(checkpoint)
    return Progress(**{name: getattr(state, name) for name in Progress.__dataclass_fields__})


def origin_of(checkpoint: Path) -> dict[str, str]:
    """What `save` was given as `origin`; empty for a checkpoint of the format before.

    Raises:
        CheckpointError: The state is missing or damaged.
    """
    return _read_state(checkpoint).origin


@dataclass(frozen=True)
class _State:
    """What `state.json` says."""

    step: int
    samples_seen: int
    sha256: dict[str, str]
    skipped_samples: int = 0
    origin: dict[str, str] = field(default_factory=dict)


def _read_state(checkpoint: Path) -> _State:
    path = checkpoint / STATE
    try:
        found = read_record(path, dict[str, Any])
        version, sealed = found.get("format"), found.pop("seal", None)
        if version not in (FORMAT_VERSION, _UNSEALED):
            raise CheckpointError(f"{path} has format {version}, this version reads {FORMAT_VERSION}")
        if version == FORMAT_VERSION and sealed != _seal_of(found):
            raise CheckpointError(f"{path} was changed after it was written")
        return parsed(json.dumps(found), _State)
    except (OSError, RecordError) as error:
        raise CheckpointError(f"{path} is missing or damaged ({error})") from error


def _seal_of(state: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def resolve(checkpoint: Path) -> Path:
    """The adapter file that `checkpoint` means: a file, a checkpoint folder, or a run folder (its newest).

    Raises:
        CheckpointError: There is none.
    """
    if checkpoint.is_file():
        return checkpoint
    if (checkpoint / ADAPTER).is_file():
        return checkpoint / ADAPTER
    found = newest(checkpoint / "checkpoints", (ADAPTER, EMA))
    if found is None:
        raise CheckpointError(f"{checkpoint} is neither a file nor a run folder that holds a checkpoint")
    return found / ADAPTER


def save_optimizer(optimizer: torch.optim.Optimizer, names: list[str], path: Path) -> None:
    """Write the state of AdamW as `<parameter name>/<moment>`; `names` are in the optimizer's parameter order."""
    states = optimizer.state_dict()["state"]
    flat = {
        f"{names[index]}/{key}": value.detach().cpu().contiguous()
        for index, moments in states.items()
        for key, value in moments.items()
    }
    save_file(flat, path)


def load_optimizer(optimizer: torch.optim.Optimizer, names: list[str], path: Path) -> None:
    """Restore what `save_optimizer` wrote.

    Raises:
        CheckpointError: The file is not about the parameters called `names`.
    """
    moments: dict[str, dict[str, Tensor]] = {}
    for key, value in load_file(path).items():
        name, _, moment = key.rpartition("/")
        moments.setdefault(name, {})[moment] = value
    if set(moments) != set(names):
        differing = ", ".join(sorted(set(moments) ^ set(names))[:5])
        raise CheckpointError(f"{path} holds the state of other parameters (differing: {differing})")
    state = optimizer.state_dict()
    state["state"] = {index: moments[name] for index, name in enumerate(names)}
    optimizer.load_state_dict(state)


def _link_latest(folder: Path, name: str) -> None:
    latest, link = folder / "latest", folder / ".latest.tmp"
    if latest.is_dir() and not latest.is_symlink():  # a copy that followed links (cp -rL): nobody else's is removed
        aside = next(path for number in range(1000) if not (path := folder / f"latest-copied-{number}").exists())
        log.warning("%s is a folder and no link; it is kept as %s", latest, aside.name)
        latest.rename(aside)
    link.unlink(missing_ok=True)
    link.symlink_to(name)
    link.replace(latest)
