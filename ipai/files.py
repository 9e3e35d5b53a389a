"""Files that appear whole or not at all: written aside, flushed to disk, then renamed."""

import errno
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from ipai.errors import IpaiError

_BLOCKS = 256
_OS_ERROR = re.compile(r"os error (\d+)")
_HERE = Path(__file__).parent
CONF = next(place for place in (_HERE / "conf", _HERE.parent / "conf") if place.is_dir())
"""The settings' files: in the package where it was installed from a wheel, beside it in a checkout."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path`; on success it is flushed and renamed over `path`, on failure removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    aside = Path(name)
    try:
        yield aside
        sync(aside)
        aside.chmod(0o644)
        aside.replace(path)
        sync(path.parent)
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk's error names none
        raise
    except SafetensorError as error:  # its own for a full disk
        if found := _OS_ERROR.search(str(error)):
            code = int(found[1])
            raise OSError(code, os.strerror(code), str(path)) from error
        raise
    except RuntimeError as error:
        if "inline_container" in str(error) and "unexpected pos" in str(error):  # torch.save, of whatever cause
            raise OSError(errno.ENOSPC, "torch.save could not write all of it", str(path)) from error
        raise
    finally:
        aside.unlink(missing_ok=True)


def unwritable(path: Path) -> str | None:
    """Why a file could not be written there, as far as can be said before; None if it can."""
    if path.is_dir():
        return "it is a folder"
    there = next(place for place in path.absolute().parents if place.exists())
    if not there.is_dir():
        return f"{there} is no folder"
    return None if os.access(there, os.W_OK) else f"{there} may not be written to"


def sync(path: Path) -> None:
    """Flush a file or a folder to disk, so that a power cut cannot undo a rename that was already reported."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write `text` in UTF-8, whole or not at all."""
    with atomic_path(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as sorted, indented JSON, whole or not at all; equal values give equal bytes."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(path: Path) -> str:
    """A name for the content of a large file: SHA-256 of its size and of 256 evenly spaced blocks of 4 KiB.

    Reads 1 MB where a full digest would read gigabytes at every start. Training moves every weight and another picture
    every byte after it, so two files that differ at all in earnest differ in those blocks.
    """
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for block in range(_BLOCKS):
            file.seek(size * block // _BLOCKS)
            digest.update(file.read(4096))
    return digest.hexdigest()


@contextmanager
def held_alone(folder: Path, refusal: IpaiError) -> Iterator[None]:
    """Hold an existing folder for this process; the system lets go of it however the process ends.

    Raises:
        IpaiError: `refusal`, if another process holds the folder.
    """
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise refusal from error
    try:
        yield
    finally:
        lock.release()


def is_held(folder: Path) -> bool:
    """Whether a process holds the folder now, as `held_alone` does."""
    if os.name == "posix":  # the kind of lock that filelock takes there, tried without a right to write
        import fcntl

        try:
            with (folder / ".lock").open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False
    try:
        with FileLock(folder / ".lock", timeout=0):
            return False
    except Timeout:
        return True


def cache_folder() -> Path:
    """Where derived files that may be deleted at any time are kept: `$IPAI_CACHE`, else `~/.cache/ipai`."""
    return Path(os.environ.get("IPAI_CACHE") or Path.home() / ".cache" / "ipai")
