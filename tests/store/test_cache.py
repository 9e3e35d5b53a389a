"""The cache of fetched shards: bounded, one download a node, nothing half, whatever dies."""

import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ipai.errors import StoreError
from ipai.store.cache import Blob, ShardCache

_SIZE = 1000


def blob(number: int, size: int = _SIZE) -> Blob:
    return Blob(f"style/{number}.tar", size, hashlib.sha256(content(number, size)).hexdigest())


def content(number: int, size: int = _SIZE) -> bytes:
    return bytes([number]) * size


class Downloads:
    """Writes what a store would send, and counts."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def __call__(self, wanted: Blob, path: Path) -> None:
        with self.log.open("a") as file:
            file.write(wanted.name + "\n")
        time.sleep(0.05)
        path.write_bytes(content(int(Path(wanted.name).stem), wanted.bytes))
        wanted.check(path)

    @property
    def names(self) -> list[str]:
        return self.log.read_text().splitlines()


def read(cache: ShardCache, wanted: Blob, downloads: Downloads) -> bytes:
    with os.fdopen(cache.open(wanted, downloads), "rb") as file:
        return file.read()


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.tar"))


def test_what_was_not_read_for_longest_makes_room(tmp_path: Path) -> None:
    cache, downloads = ShardCache(tmp_path / "cache", 3 * _SIZE), Downloads(tmp_path / "log")
    for number in (0, 1, 2, 0, 3, 0, 1):
        assert read(cache, blob(number), downloads) == content(number)
        assert bytes_in(cache.folder) <= cache.limit
        time.sleep(0.02)
    assert downloads.names == [f"style/{number}.tar" for number in (0, 1, 2, 3, 1)]


def test_a_reader_keeps_what_makes_room(tmp_path: Path) -> None:
    cache, downloads = ShardCache(tmp_path / "cache", _SIZE), Downloads(tmp_path / "log")
    with os.fdopen(cache.open(blob(0), downloads), "rb") as file:
        cache.fetch(blob(1), downloads)
        assert file.read() == content(0)


def test_a_shard_larger_than_the_cache_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"raise data\.store\.cache_gb"):
        ShardCache(tmp_path, 10).fetch(blob(0), Downloads(tmp_path / "log"))


def _read_many(folder: Path, log: Path) -> None:
    cache, downloads = ShardCache(folder, 3 * _SIZE), Downloads(log)
    for number in range(6):
        assert read(cache, blob(number), downloads) == content(number)


def test_many_processes_keep_to_the_bound(tmp_path: Path) -> None:
    cache = ShardCache(tmp_path / "cache", 10 * _SIZE)
    work = (cache.folder, tmp_path / "log")
    children = [multiprocessing.get_context("fork").Process(target=_read_many, args=work) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(30)
    assert [child.exitcode for child in children] == [0] * 4
    assert bytes_in(cache.folder) <= 3 * _SIZE


def test_the_processes_of_a_node_share_a_download(tmp_path: Path) -> None:
    work = (tmp_path / "cache", tmp_path / "log")
    children = [multiprocessing.get_context("fork").Process(target=_fetch_one, args=work) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(30)
    assert [child.exitcode for child in children] == [0] * 4
    assert Downloads(tmp_path / "log").names == ["style/0.tar"]


def _fetch_one(folder: Path, log: Path) -> None:
    assert read(ShardCache(folder, _SIZE), blob(0), Downloads(log)) == content(0)


_KILLED = """
import os, signal, sys
from pathlib import Path
from ipai.store.cache import ShardCache
from tests.store.test_cache import blob
def half(wanted, path):
    path.write_bytes(b"x" * (wanted.bytes // 2))
    os.kill(os.getpid(), signal.SIGKILL)
ShardCache(Path(sys.argv[1]), 1000).fetch(blob(0), half)
"""


def test_kill_9_in_a_fetch_leaves_nothing_that_is_read_or_counted(tmp_path: Path) -> None:
    cache = ShardCache(tmp_path / "cache", _SIZE)
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(cache.folder)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert list(cache.folder.glob(".*.part"))
    downloads = Downloads(tmp_path / "log")
    assert read(cache, blob(1), downloads) == content(1)  # there is room for one only
    assert read(cache, blob(0), downloads) == content(0)
    assert not list(cache.folder.glob(".*.part"))


_FULL = """
import resource, sys
from pathlib import Path
from ipai.errors import StoreError
from ipai.store.cache import ShardCache
from tests.store.test_cache import Downloads, blob
resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
try:
    ShardCache(Path(sys.argv[1]), 10_000).fetch(blob(0), Downloads(Path(sys.argv[1]) / "log"))
except StoreError as error:
    print(error)
"""


def test_a_full_disk_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    full = subprocess.run([sys.executable, "-c", _FULL, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "could not be kept" in full.stdout
    assert not [*tmp_path.glob("*.tar"), *tmp_path.glob(".*.part")]
