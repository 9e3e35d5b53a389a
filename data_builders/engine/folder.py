"""The folder of a task: one builder at a time, one set of settings, no remains of a killed build."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data_builders.engine.config import BuildConfig, deciding_settings
from data_builders.engine.plan import Plan
from data_builders.engine.shard import Stamp, writing
from ipai.errors import DataError
from ipai.files import held_alone, write_json
from ipai.records import RecordError, differences, read_record

FROZEN = "build.json"


def folder_of(config: BuildConfig) -> Path:
    """`<output>/<task>`."""
    return Path(config.output).expanduser() / config.task


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the folder and hold it for this process.

    Raises:
        DataError: Another process builds here, or the folder cannot be written.
    """
    busy = DataError(f"another process is building in {folder}; wait for it, or choose another folder with output=")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".lock").touch()
    with held_alone(folder, busy):
        yield


def refuse_other_settings(folder: Path, config: BuildConfig, stamp: Stamp) -> None:
    """Refuse settings that would give other shards than those that are done in the folder.

    Raises:
        DataError: They differ; the message lists the keys.
    """
    frozen = _frozen(folder)
    if frozen is None:
        return
    then = frozen["settings"] | {"builder": f"{frozen['builder']} {frozen['builder_version']}"}
    now = deciding_settings(config) | {"builder": f"{stamp.builder} {stamp.builder_version}"}
    changed = differences(then, now)
    if changed:
        lines = "\n".join(f"  {line}" for line in changed)
        raise DataError(
            f"{folder} was started with other settings (then -> now):\n{lines}\n"
            "give the first settings to continue it, choose another output=, or delete that folder to start anew"
        )


def freeze(folder: Path, config: BuildConfig, stamp: Stamp, plan: Plan) -> None:
    """Write `build.json` unless shards are done already; then refuse a source that gives another plan.

    Raises:
        DataError: The plan differs although the settings are the same.
    """
    frozen = _frozen(folder)
    if frozen is None:
        with writing(folder):
            write_json(
                folder / FROZEN,
                {
                    "builder": stamp.builder,
                    "builder_version": stamp.builder_version,
                    "config_hash": stamp.config_hash,
                    "plan_hash": plan.hash,
                    "settings": deciding_settings(config),
                },
            )
    elif frozen["plan_hash"] != plan.hash:
        raise DataError(
            f"{folder} was started from a source whose annotations or captions were different; "
            "put the source back as it was to continue, choose another output=, or delete that folder to start anew"
        )


def remove_remains(folder: Path) -> None:
    """Delete what a killed build left: temporary files, tars without a sidecar. Call it with the lock held."""
    with writing(folder):
        unfinished = [path for path in _shard_files(folder, ".tar") if not path.with_suffix(".json").exists()]
        for path in [*folder.glob(".*.tmp"), *unfinished]:
            path.unlink(missing_ok=True)


def _shard_files(folder: Path, suffix: str) -> list[Path]:
    return [path for split in ("train", "val") for path in folder.glob(f"{split}-[0-9]*{suffix}")]


def _frozen(folder: Path) -> dict[str, Any] | None:
    """What the finished shards of the folder were built with; None where there are none or nobody knows."""
    path = folder / FROZEN
    if not path.exists() or not _shard_files(folder, ".json"):
        return None
    try:
        return read_record(path, dict[str, Any])
    except (OSError, RecordError) as error:
        raise DataError(
            f"{path} is damaged ({error}); delete the folder to start anew, or choose another output="
        ) from error
