"""Reads from an object store through fsspec: what fails is tried again for a while, then the store counts as lost."""

import errno
import logging
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ipai.errors import StoreError
from ipai.store.address import PACKAGES

log = logging.getLogger(__name__)

_T = TypeVar("_T")
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 60.0
# Asking again cannot help: it is not there, or we may not read it.
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


class RemoteStore:
    """A folder of an object store; safe to send to other processes. Credentials come from the environment only.

    Args:
        root: Its address, such as `s3://bucket/shards`.
        patience_s: How long a request that fails is repeated.
    """

    def __init__(self, root: str, patience_s: float) -> None:
        self.root = root.rstrip("/")
        self._patience_s = patience_s

    def listing(self, folder: str) -> dict[str, dict[str, Any]]:
        """File name -> what the store says of it; empty if there is no such folder.

        Raises:
            StoreError: The store failed for too long.
        """

        def ask() -> dict[str, dict[str, Any]]:
            system = self._system()
            system.invalidate_cache()
            try:
                found = system.ls(f"{self.root}/{folder}", detail=True)
            except FileNotFoundError:
                return {}
            return {entry["name"].rstrip("/").rpartition("/")[2]: entry for entry in found if entry["type"] == "file"}

        return self._patiently(f"{self.root}/{folder}", ask)

    def read(self, name: str) -> bytes:
        """A small file's content; raises StoreError as `listing` does, or if the file is not there."""
        content: bytes = self._patiently(f"{self.root}/{name}", lambda: self._system().cat_file(f"{self.root}/{name}"))
        return content

    def download(self, name: str, path: Path, check: Callable[[Path], None]) -> None:
        """Write a file to `path`, which must not be read before this returns.

        Args:
            name: Below the root.
            path: Where to.
            check: Raises OSError if what came is not what was wanted; then it is fetched again.

        Raises:
            StoreError: The store failed or sent something else for too long.
            OSError: The disk is full.
        """

        def fetch() -> None:
            path.parent.mkdir(parents=True, exist_ok=True)  # a folder that was removed is no fault of the store
            self._system().get_file(f"{self.root}/{name}", str(path))
            check(path)

        self._patiently(f"{self.root}/{name}", fetch)

    def _patiently(self, what: str, action: Callable[[], _T]) -> _T:
        deadline, wait = time.monotonic() + self._patience_s, _FIRST_WAIT_S
        while True:
            try:
                return action()
            except _FINAL as error:
                raise StoreError(f"{what} is not there or may not be read ({_words(error)})") from error
            except Exception as error:  # each store's package has errors of its own
                if isinstance(error, OSError) and error.errno in _NO_ROOM:
                    raise  # the disk here, which asking again does not empty
                if time.monotonic() >= deadline:
                    raise StoreError(
                        f"{what} could not be read for {self._patience_s:.0f} s ({_words(error)}); when the store is "
                        "back, the same command continues"
                    ) from error
                log.warning("%s: %s; asking again in %.1f s", what, _words(error), wait)
            time.sleep(max(min(wait * random.uniform(0.5, 1.0), deadline - time.monotonic()), 0.0))
            wait = min(2 * wait, _LONGEST_WAIT_S)

    def _system(self) -> Any:
        import fsspec  # slow to import, and not needed for local shards

        kind = self.root.partition("://")[0]
        try:
            return fsspec.filesystem(kind)  # made once for each process
        except ImportError as error:
            raise StoreError(f"{self.root} needs a package: pip install {PACKAGES[kind]}") from error


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip() or 'no words'}".splitlines()[0]
