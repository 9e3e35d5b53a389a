"""Which questions are being asked right now, by any process of this machine, so that none is asked twice at once."""

from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from ipai.errors import DataError

_DIGITS = 3  # of a key that name its lock: 4,096 files at most


class Claims:
    """A locked file stands for each question, and for the few that share it: of those one is asked after the other.

    The system lets go of it however the process ends.
    """

    def __init__(self, folder: Path) -> None:
        """Make the folder of the locks; raises DataError if it cannot be made."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"cannot write {folder}: {error.strerror or error}; make its place writable") from error
        self._folder = folder
        self._mine: dict[str, FileLock] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for key in list(self._mine):
            self.give_back(key)

    def take(self, key: str) -> bool:
        """Claim a question by its key (hexadecimal digits); False if it is claimed, here or elsewhere."""
        lock = FileLock(self._folder / key[:_DIGITS], timeout=0, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            return False
        self._mine[key] = lock
        return True

    def give_back(self, key: str) -> None:
        """Let others claim it."""
        self._mine.pop(key).release()
