"""The folder of all toy sources: what is in it, and how it appears whole or not at all. Imports nothing slow."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ipai.errors import DataError
from ipai.files import held_alone
from ipai.records import RecordError, differences, read_record
from ipai.toyworld.sources.config import SourcesConfig

SETTINGS = "toy-sources.json"


def folder_of(config: SourcesConfig) -> Path:
    """Where the sources go."""
    return Path(config.output).expanduser()


def are_written(config: SourcesConfig) -> bool:
    """Whether the sources that these settings give are there already.

    Raises:
        DataError: The folder holds sources of other settings, or something else.
    """
    folder = folder_of(config)
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    try:
        found = read_record(folder / SETTINGS, dict[str, Any])
        wanted = config.deciding()
        changed = differences({key: found.get(key) for key in wanted}, wanted)
    except (OSError, RecordError) as error:
        raise DataError(f"{folder} is there and holds no toy sources; choose another output=") from error
    if changed:
        raise DataError(
            f"{folder} was written with other settings (then -> now):\n  " + "\n  ".join(changed) + "\n"
            "give those settings, choose another output=, or delete that folder to write it anew"
        )
    return True


@contextmanager
def appearing(folder: Path) -> Iterator[Path]:
    """A folder beside `folder`, held for this process; renamed to it on success, removed on failure.

    Raises:
        DataError: Another process holds it, or writing failed.
    """
    aside = folder.with_name(f".{folder.name}.tmp")
    busy = DataError(f"another process is writing {folder}; wait for it, or choose another output=")
    try:
        aside.mkdir(parents=True, exist_ok=True)
        with held_alone(aside, busy):
            try:
                _clear(aside)
                yield aside
                (aside / ".lock").unlink()
                aside.rename(folder)
            except BaseException:
                shutil.rmtree(aside, ignore_errors=True)
                raise
    except OSError as error:
        raise DataError(
            f"cannot write {folder}: {error.strerror or error}. Nothing is left of it: free space there, make it "
            "writable, or choose another output=, then repeat the command"
        ) from error


def _clear(aside: Path) -> None:
    """Remove what a killed process left; the lock stays."""
    for path in aside.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != ".lock":
            path.unlink()
