"""Shards in an object store, read as `ShardSet` reads those of a folder: the same samples in the same order.

Which samples there are is read from the sidecars at the start; a shard comes to the node when one of its samples is
wanted, or ahead of that (`ipai.data.prefetch`), and is read from the node's disk.
"""

import hashlib
import json
import os
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ipai.data.shards import SAMPLE_KEY, NoShardsError, ShardFacts, ShardSet, index_shard
from ipai.errors import ConfigError, DataError
from ipai.files import write_text
from ipai.records import RecordError, parsed, read_record
from ipai.store.address import is_url
from ipai.store.cache import Blob, ShardCache
from ipai.store.config import StoreConfig
from ipai.store.remote import RemoteStore

# What stores call a file's version; each has some of them.
_STAMPS = ("size", "ETag", "etag", "md5Hash", "blob_id", "LastModified", "mtime")
_FACTS = ("name", "bytes", "sha256", "keys")


class RemoteShardSet(ShardSet):
    """All samples of one task and split in a store; safe to send to worker processes.

    Args:
        task: The task's name.
        split: train or val.
        store: Where the shards are.
        cache: Where they are kept.
        blobs: The shards.
        keys: The names of each shard's samples.
    """

    def __init__(
        self, task: str, split: str, store: RemoteStore, cache: ShardCache, blobs: list[Blob], keys: list[list[str]]
    ) -> None:
        numbers = np.repeat(np.arange(len(blobs), dtype=np.int64), [len(names) for names in keys])
        files = [Path(blob.name) for blob in blobs]
        super().__init__(task, split, files, list(chain.from_iterable(keys)), numbers[:, None])
        self._store = store
        self._cache = cache
        self._blobs = blobs
        self._first = np.searchsorted(numbers, np.arange(len(blobs)))
        self._indexed: dict[int, np.ndarray] = {}

    @classmethod
    def open_remote(cls, root: str, task: str, split: str, config: StoreConfig) -> "RemoteShardSet":
        """List `<root>/<task>/<split>-*.tar` and read the sidecars, once for all processes of the node.

        Raises:
            StoreError: The store cannot be read.
            DataError: There are no shards, or one has no sidecar or a damaged one.
        """
        store = RemoteStore(root, config.patience_minutes * 60)
        cache = ShardCache(config.folder, int(config.cache_gb * 1e9))
        blobs, keys = [], []
        for facts in _known(store, cache, task, split):
            blobs.append(Blob(facts["name"], facts["bytes"], facts["sha256"]))
            keys.append(facts["keys"])
        if not sum(map(len, keys)):
            raise DataError(f"the shards {root}/{task}/{split}-*.tar hold no samples")
        found = cls(task, split, store, cache, blobs, keys)
        if len(set(found._keys.tolist())) != len(found):
            raise DataError(f"{root}/{task}: sample keys of the {split} shards occur more than once")
        return found

    def kept(self, indices: np.ndarray) -> ShardSet:  # noqa: ARG002
        """Refused: choosing by the records would fetch every shard first."""
        raise ConfigError("data.filter reads every record, so data.root must be a folder; copy the data set there")

    def blob_of(self, index: int) -> Blob:
        """The shard that holds a sample."""
        return self._blobs[int(self._places[index, 0])]

    @property
    def blobs(self) -> list[Blob]:
        """The shards, in the order of `files`."""
        return self._blobs

    @property
    def cache_limit(self) -> int:
        """Bytes that the node keeps."""
        return self._cache.limit

    def _facts(self) -> list[list[Any]]:
        return [[blob.name, blob.bytes, blob.sha256] for blob in self._blobs]

    @property
    def local_files(self) -> list[Path]:
        """None: what comes is checked against its hash when it comes."""
        return []

    def have(self, index: int) -> None:
        """Bring the shard of a sample to this node; raises StoreError."""
        self.fetch(self.blob_of(index))

    def fetch(self, blob: Blob) -> None:
        """Have a shard on the node's disk; raises StoreError."""
        self._cache.fetch(blob, self._download)

    def _download(self, blob: Blob, path: Path) -> None:
        self._store.download(blob.name, path, blob.check)

    def _place(self, index: int) -> list[int]:
        number = int(self._places[index, 0])
        if number not in self._indexed:
            self._indexed[number] = self._index(number)
        return [number, *self._indexed[number][index - self._first[number]].tolist()]

    def _index(self, number: int) -> np.ndarray:
        with os.fdopen(self._cache.open(self._blobs[number], self._download), "rb") as file:
            samples = index_shard(file, self._shards[number], self.task)
        if list(samples) != self._keys[self.indices_in(number)].tolist():
            raise DataError(f"{self._store.root}/{self._blobs[number].name} holds other samples than its sidecar says")
        return np.array(list(samples.values()), dtype=np.int64)

    def _range(self, number: int, offset: int, size: int) -> bytes:
        descriptor = self._cache.open(self._blobs[number], self._download)
        try:
            return os.pread(descriptor, size, offset)
        finally:
            os.close(descriptor)


def open_shards(root: str, task: str, split: str, config: StoreConfig) -> ShardSet:
    """The shards of a task and split in a folder or a store.

    Raises:
        DataError: See `ShardSet.open` and `RemoteShardSet.open_remote`.
    """
    if is_url(root):
        return RemoteShardSet.open_remote(root, task, split, config)
    return ShardSet.open(Path(root).expanduser(), task, split)


def _known(store: RemoteStore, cache: ShardCache, task: str, split: str) -> list[dict[str, Any]]:
    """Of each shard its name, bytes, SHA-256 and keys; kept on the node under a digest of the store's listing.

    Raises:
        StoreError: The store cannot be read, or the node's disk is full.
        DataError: There are no shards, or one has no sidecar or a damaged one.
    """
    listing = {name: facts for name, facts in store.listing(task).items() if name.startswith(f"{split}-")}
    tars = sorted(name for name in listing if name.endswith(".tar"))
    if not tars:
        raise NoShardsError(f"there are no shards {store.root}/{task}/{split}-*.tar; copy a folder of shards there")
    stamps = [
        store.root,
        task,
        *([name, *(str(listing[name].get(fact)) for fact in _STAMPS)] for name in sorted(listing)),
    ]
    digest = hashlib.sha256(json.dumps(stamps).encode()).hexdigest()
    path = cache.folder / "lists" / f"{digest}.json"
    with cache.held(f"list-{digest}"):
        if not path.exists():
            bar = tqdm(tars, unit="sidecar", desc=f"{task} {split}", delay=2, leave=False)
            facts = json.dumps([_sidecar(store, task, tar, listing) for tar in bar])
            try:
                write_text(path, facts)
            except OSError as error:
                raise cache.full(f"the list of {store.root}/{task}", error) from error
        try:
            return read_record(path, list[dict[str, Any]])
        except RecordError as error:
            raise DataError(f"{path} is damaged ({error}); remove it and repeat the command") from error


def _sidecar(store: RemoteStore, task: str, tar: str, listing: dict[str, Any]) -> dict[str, Any]:
    name = tar.removesuffix(".tar") + ".json"
    if name not in listing:
        raise DataError(f"{store.root}/{task}/{tar} has no sidecar {name}, which says what it holds; copy it there too")
    try:
        facts = parsed(store.read(f"{task}/{name}"), ShardFacts)
        keys = [sample["key"] for sample in facts.samples]
        if not all(isinstance(key, str) and SAMPLE_KEY.fullmatch(key) for key in keys):
            raise ValueError("a sample's key is not of a-z, 0-9, _ and -")
        blob = Blob(f"{task}/{tar}", facts.bytes, facts.sha256 or "")
        return dict(zip(_FACTS, (blob.name, blob.bytes, blob.sha256, keys), strict=True))
    except (ValueError, KeyError) as error:
        raise DataError(f"{store.root}/{task}/{name} is damaged ({error}); copy it there again") from error
