"""Which questions are being asked right now, by any process of this machine, so that none is asked twice at once."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from ipai.errors import DataError


class Claims:
    """One byte of a lock file stands for each question. The system lets go of it however the process ends."""

    def __init__(self, path: Path) -> None:
        """Open the lock file; raises DataError if it cannot be made."""
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise DataError(f"cannot write {path}: {error.strerror or error}; make its folder writable") from error
        self._mine: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def take(self, key: str) -> bool:
        """Claim a question; False if it is claimed, here or elsewhere."""
        if key in self._mine:
            return False
        with suppress(OSError):
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(key))
            self._mine.add(key)
        return key in self._mine

    def give_back(self, key: str) -> None:
        """Let others claim it."""
        self._mine.discard(key)
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _place(key))


def _place(key: str) -> int:
    """The byte of a key (hexadecimal digits); locks may lie anywhere below 2^63, beyond the file's end too."""
    return int(key[:15], 16)
