"""Fetched shards on a node's disk: bounded, shared by all processes of the node, whole or not there.

A file is named by the SHA-256 of its content, so it can be neither stale nor another data set's. It is written to a
`.part` beside it by the one process that holds its lock, checked, and renamed. The system lets go of the locks of a
killed process; a `.part` without a holder is rubbish that the next one removes.
"""

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from ipai.errors import StoreError
from ipai.files import sha256_of, sync

_WAIT_S = 0.1
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Blob:
    """A file of the store.

    Attributes:
        name: Below the store's root.
        bytes: Its size.
        sha256: Of its content.
    """

    name: str
    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        """Refuse what a sidecar may not say, with a ValueError: the hash names files here."""
        if not isinstance(self.sha256, str) or not _DIGEST.fullmatch(self.sha256):
            raise ValueError(f"sha256 is no SHA-256 but {str(self.sha256)[:80]!r}")
        if self.bytes < 0:
            raise ValueError(f"bytes={self.bytes} is negative")

    def check(self, path: Path) -> None:
        """Raise OSError if the file at `path` is another."""
        if path.stat().st_size != self.bytes:
            raise OSError(f"{path.stat().st_size} bytes came, the sidecar says {self.bytes}")
        if sha256_of(path) != self.sha256:
            raise OSError("the SHA-256 of what came is not the sidecar's")


class ShardCache:
    """Files that were not read for longest make room for new ones.

    Args:
        folder: Where they lie; several runs may share it.
        limit: Bytes that it may hold, with what is being fetched.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit

    def open(self, blob: Blob, download: Callable[[Blob, Path], None]) -> int:
        """A descriptor of the file, to be closed by the caller; it stays readable when the file makes room.

        Args:
            blob: Which file.
            download: Writes it to a path, checked.

        Raises:
            StoreError: It cannot be had, or is larger than the cache.
        """
        path = self.folder / f"{blob.sha256}.tar"
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            with self.held(blob.sha256):
                if not path.exists():
                    self._fetch(blob, path, download)
                descriptor = os.open(path, os.O_RDONLY)
        with contextlib.suppress(FileNotFoundError):
            os.utime(path)  # read now; access times are often switched off
        return descriptor

    def fetch(self, blob: Blob, download: Callable[[Blob, Path], None]) -> None:
        """Have a file ready for `open`; raises StoreError as it does."""
        os.close(self.open(blob, download))

    def full(self, what: str, error: OSError) -> StoreError:
        """What to raise when something could not be written here."""
        return StoreError(
            f"{what} could not be kept in {self.folder} ({error.strerror or error}); free space there, or set "
            "data.store.cache=FOLDER or a smaller data.store.cache_gb"
        )

    def _fetch(self, blob: Blob, path: Path, download: Callable[[Blob, Path], None]) -> None:
        part = self.folder / f".{blob.sha256}.{blob.bytes}.part"
        try:
            self._make_room(blob, part)
            download(blob, part)
            sync(part)
            part.replace(path)
        except OSError as error:
            raise self.full(blob.name, error) from error
        finally:
            part.unlink(missing_ok=True)

    def _make_room(self, blob: Blob, part: Path) -> None:
        """Take out what was not read for longest until `blob` fits, and claim its bytes by an empty `part`."""
        if blob.bytes > self.limit:
            raise StoreError(
                f"{blob.name} has {blob.bytes} bytes and the cache holds {self.limit}; raise data.store.cache_gb"
            )
        while True:
            with self.held("room"):
                whole, used = self._whole(), sum(self._claimed())
                used += sum(size for _, size, _ in whole)
                for _, size, path in sorted(whole):
                    if used + blob.bytes <= self.limit:
                        break
                    if self._remove(path):
                        used -= size
                if used + blob.bytes <= self.limit:
                    part.touch()
                    return
            time.sleep(_WAIT_S)  # the rest is being fetched by others, and can go when it is whole

    def _whole(self) -> list[tuple[float, int, Path]]:
        """When each whole file was last read, and its bytes."""
        found = []
        for path in self.folder.glob("*.tar"):
            with contextlib.suppress(FileNotFoundError):
                found.append((path.stat().st_mtime, path.stat().st_size, path))
        return found

    def _claimed(self) -> Iterator[int]:
        """The bytes of files that are being fetched; those whose fetcher was killed are removed."""
        for path in self.folder.glob(".*.part"):
            _, sha256, size, _ = path.name.split(".")
            try:
                with self.held(sha256, wait=False):
                    path.unlink(missing_ok=True)
            except BlockingIOError:
                yield int(size)

    def _remove(self, path: Path) -> bool:
        """Take a file out, unless a process is just opening it."""
        try:
            with self.held(path.stem, wait=False):
                path.unlink(missing_ok=True)
        except BlockingIOError:
            return False
        return True

    @contextmanager
    def held(self, name: str, wait: bool = True) -> Iterator[None]:
        """Hold a name against all other threads and processes of the node; raises BlockingIOError rather than wait."""
        try:
            (self.folder / "locks").mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / "locks" / name)
            lock.acquire(timeout=-1 if wait else 0)
        except Timeout as error:
            raise BlockingIOError(f"{name} is held") from error
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be written ({error.strerror}); set data.store.cache") from error
        try:
            yield
        finally:
            lock.release()
