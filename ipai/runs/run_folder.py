"""A run folder: the frozen configuration, the environment, one writer at a time."""

import hashlib
import importlib.metadata
import json
import logging
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from ipai.backbones.config import upgraded_base
from ipai.config import TrainingRun, to_dict
from ipai.errors import CheckpointError, ConfigError
from ipai.files import held_alone, write_json, write_text
from ipai.records import RecordError, differences, read_record, read_yaml
from ipai.runs.step_folders import step_folders
from ipai.tasks import TASKS

log = logging.getLogger(__name__)

# What may differ between two starts of one run: none of it changes the numbers beyond rounding.
CHANGEABLE = (
    "launch",
    "logger",
    "dry_run",
    "card",
    "verify",
    "runs_root",
    "data.root",
    "data.cache",
    "data.store",
    "data.workers",
    "data.prefetch",
    "train.micro_batch_size",
    "checkpoint",
    "validation.clip_model",
    "validation.clip_pretrained",
    "instructions.cached_rows",
    "base.guidance_scale",
)
_ROOT_OF_A_SET = re.compile(r"data\.sources\.[^.]+\.root")
GIT_STATE = "git.json"  # lies beside code that was copied out of a checkout
_PACKAGES = ("torch", "diffusers", "transformers", "open_clip_torch", "accelerate", "numpy", "pillow", "safetensors")


def folder_of(config: TrainingRun) -> Path:
    """The run's folder: `run` below `runs_root`, unless `run` is itself a path."""
    run = Path(config.run).expanduser()
    return run if len(run.parts) > 1 or run.is_absolute() else Path(config.runs_root) / run


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the folder and hold it for this process.

    Raises:
        CheckpointError: Another process trains in this folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    busy = CheckpointError(
        f"another process is writing to {folder}; wait for it or choose another folder with run=NAME"
    )
    with held_alone(folder, busy):
        yield


def freeze_config(folder: Path, config: TrainingRun) -> int:
    """Write `config.yaml`; once there is a checkpoint to continue from, refuse one that gives other numbers.

    Returns:
        `train.steps` as it was: a run of constant rate may be given more of them.

    Raises:
        ConfigError: The configuration differs from the frozen one; the message lists the differences.
    """
    path = folder / "config.yaml"
    new = to_dict(config)
    if path.exists() and step_folders(folder / "checkpoints"):
        frozen = upgraded(_read_frozen(path))
        then, now = _flat(frozen), _flat(new)
        steps = int(then["train.steps"])
        if config.train.schedule == "constant" and config.train.steps > steps:
            then["train.steps"] = config.train.steps
        changed = differences(*({key: flat[key] for key in flat if not _may_change(key)} for flat in (then, now)))
        if changed:
            raise ConfigError(
                f"{folder} was started with another configuration (then -> now):\n"
                + "\n".join(f"  {line}{_why(line)}" for line in changed)
                + "\nrepeat the first command to continue it, or give a new name with run=NAME"
            )
        if steps == config.train.steps:
            return steps
        log.info("%s goes on: train.steps raised from %d to %d", folder, steps, config.train.steps)
    else:
        steps = config.train.steps
    write_text(path, yaml.safe_dump(new, sort_keys=False, allow_unicode=True))
    return steps


def _why(difference: str) -> str:
    if difference.startswith("validation.guidance_scale: 5.0 ->"):
        return " (it is the base's own now; to go on give validation.guidance_scale=5.0)"
    if not difference.startswith("train.steps:"):
        return ""
    return " (steps may only be raised, and only with train.schedule=constant: a cosine has spent its rate)"


def _read_frozen(path: Path) -> dict[str, Any]:
    try:
        return read_yaml(path)
    except (OSError, RecordError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); restore it, or give a new name with run=NAME") from error


# Keys that earlier versions had not, with the values that say what those did.
_NEW: dict[str, dict[str, Any]] = {
    "base": dict.fromkeys(
        ("transformer", "text_encoder_3", "tokenizer_3", "prompt_tokens", "embedded_guidance"),
    ),
    "train": {"instruction_contrast": 0.0, "init_from": None, "draws_per_sample": 1},
    "data": {"filter": dict.fromkeys(TASKS), "sources": {}, "buckets": {"max_aspect": 1.0, "step": None}},
}


def upgraded(saved: Any) -> Any:
    """A frozen configuration of an earlier version with its keys where they are now."""
    if not isinstance(saved, dict):
        return saved
    if isinstance(saved.get("base"), dict):
        saved = {**saved, "base": upgraded_base(saved["base"])}
    if not isinstance(saved.get("train"), dict):
        return saved
    saved = dict(saved)
    saved |= {part: {**new, **saved[part]} for part, new in _NEW.items() if isinstance(saved.get(part), dict)}
    if "objective" in saved:
        return saved
    train = dict(saved["train"])
    objective = {"name": "epsilon", "timestep_power": 1.0, "min_snr_gamma": None}
    objective |= {key: train.pop(key) for key in ("timestep_power", "min_snr_gamma") if key in train}
    return {**saved, "train": train, "objective": objective}


def digest_of_settings(config: TrainingRun, steps: int | None = None) -> str:
    """Of all settings that decide a run's numbers; they must not change on its way.

    Args:
        config: The run.
        steps: In place of `train.steps`: as a run that was given more was started.
    """
    deciding = {key: value for key, value in _flat(to_dict(config)).items() if not _may_change(key)}
    if steps is not None:
        deciding["train.steps"] = steps
    deciding.pop("base.family")  # the parts say more, and runs of earlier versions have none
    for key, before in _flat(_NEW).items():
        if key in deciding and deciding[key] == before:
            del deciding[key]
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


def write_environment(folder: Path, processes: int) -> None:
    """Write `environment.json`: versions, platform, git state and command, for the latest start."""
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    facts = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": versions,
        "git": git_state(Path(__file__).parents[2]),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "processes": processes,
    }
    write_json(folder / "environment.json", facts)


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit and whether files differ from it; None where the code is not in a git checkout.

    For a copy of the code it is the state of the checkout it was copied from.
    """
    if (folder / GIT_STATE).exists():
        return read_record(folder / GIT_STATE, dict[str, Any] | None)  # type: ignore[arg-type]

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _flat(node: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(node, dict) or not node:
        return {prefix: list(node) if isinstance(node, tuple) else node}
    return {
        name: value
        for key, child in node.items()
        for name, value in _flat(child, f"{prefix}.{key}" if prefix else str(key)).items()
    }


def frozen_instructions(folder: Path) -> dict[str, str] | None:
    """The fixed instructions that a run in this folder was begun with; None if there is none, or it has no fixed ones.

    Raises:
        CheckpointError: Its configuration is damaged.
    """
    path = folder / "config.yaml"
    if not path.exists():
        return None
    saved = _read_frozen(path).get("instructions") or {}
    return dict(saved["fixed"]) if saved.get("source") == "fixed" else None


def _may_change(key: str) -> bool:
    if _ROOT_OF_A_SET.fullmatch(key):  # as data.root: the shards are compared by content
        return True
    return any(key == name or key.startswith(f"{name}.") for name in CHANGEABLE)
