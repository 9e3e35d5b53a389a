"""What lies in a source, so that a change of it is noticed without reading it."""

import os
from collections.abc import Iterator
from pathlib import Path


def listed(path: Path) -> Iterator[tuple[str, int, int]]:
    """Name, size and time of change of a file, or of all below a folder; nothing of what is not there.

    Names are given as hexadecimal digits: a file system holds some that are no text.
    """
    if path.is_file():
        yield _entry(path)
    for folder, inside, names in os.walk(path, followlinks=True):
        inside[:] = [name for name in inside if not _leads_back(Path(folder, name))]
        yield from (_entry(Path(folder, name)) for name in names)


def _entry(path: Path) -> tuple[str, int, int]:
    try:
        facts = path.stat()
    except OSError:  # a link to nowhere, or gone since
        return os.fsencode(path).hex(), -1, -1
    return os.fsencode(path).hex(), facts.st_size, facts.st_mtime_ns


def _leads_back(folder: Path) -> bool:
    return folder.is_symlink() and folder.resolve() in folder.absolute().parents
