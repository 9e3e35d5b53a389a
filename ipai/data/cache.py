"""What was computed of samples beforehand: VAE moments and CLIP image tokens in sidecar shards with the same keys.

`<cache>/<kind>/<task>/train-000003.tar` holds a `<key>.<kind>.npy` for each sample of the shard of that name that can
be used; the `.json` beside it says what the arrays depend on, of which shard they are, where they lie, and which
samples have none, with the reason. Written by `ipai.caching`; plain `webdataset.WebDataset(...).decode()` reads them.
"""

import io
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ipai.data.images import ImageError
from ipai.data.shards import ShardSet
from ipai.errors import DataError
from ipai.files import fingerprint
from ipai.records import RecordError, read_record

LATENTS, IMAGE_TOKENS = "latents", "image_tokens"
KEYS = {LATENTS: "data.latents", IMAGE_TOKENS: "data.image_tokens"}
"""The kinds of cache, and the setting that switches each on."""


@dataclass(frozen=True)
class CacheIdentity:
    """What cached arrays depend on: the same sample under another identity has other arrays.

    Attributes:
        kind: `latents` or `image_tokens`.
        facts: Network (id, revision, subfolder, fingerprint of its weights), crop and pixels.
    """

    kind: str
    facts: dict[str, Any]

    def differences(self, other: dict[str, Any]) -> list[str]:
        """What another identity says differently, `name: theirs -> ours`."""
        names = sorted(self.facts.keys() | other.keys())
        return [f"{name}: {other.get(name)} -> {self.facts.get(name)}" for name in names
                if other.get(name) != self.facts.get(name)]  # fmt: skip


@dataclass(frozen=True)
class CacheFacts:
    """The sidecar of a cache shard: what it was made of, and where the array of each sample lies (offset, size)."""

    identity: dict[str, Any]
    source: str
    bytes: int
    skipped: dict[str, str]
    places: dict[str, tuple[int, int]]


@dataclass(frozen=True)
class _NullFacts:
    """What lies beside the encoding of a dropped image."""

    identity: dict[str, Any]


def cache_shard(cache: Path, kind: str, task: str, shard: Path) -> Path:
    """Where the arrays of a shard are kept."""
    return cache / kind / task / shard.name


class CachedArrays:
    """The cached arrays of one task and split, numbered as the samples of its `ShardSet`; safe to send to workers.

    Args:
        kind: `latents` or `image_tokens`.
        keys: The samples' names.
        files: The cache's shards.
        places: int64 [samples, 3]: number of the file, offset and size of the array; offset -1 where there is none.
        skipped: Sample -> why it has no array.
    """

    def __init__(
        self, kind: str, keys: list[str], files: list[Path], places: np.ndarray, skipped: dict[int, str]
    ) -> None:
        self._kind = kind
        self._keys = np.array(keys)
        self._leading: tuple[int, ...] | None = None
        self._files = files
        self._places = places
        self._skipped = skipped

    @classmethod
    def open(cls, cache: Path, shards: ShardSet, identity: CacheIdentity) -> "CachedArrays":
        """Compare the cache of `shards` with what it has to be, and index it.

        Raises:
            DataError: A part of it is missing, stale (its shard was changed since), foreign (made by another network
                or for another crop) or damaged; the message says which, and how to make it anew.
        """
        files, places, skipped = [], np.empty((len(shards), 3), dtype=np.int64), {}
        for number, shard in enumerate(shards.files):
            path = cache_shard(cache, identity.kind, shards.task, shard)
            known = checked_sidecar(path, shard, identity)
            files.append(path)
            for index in shards.indices_in(number):
                key = shards.key(index)
                if key in known.skipped:
                    skipped[index] = known.skipped[key]
                elif key not in known.places:
                    raise DataError(f"{path} lacks sample {key}; {mend(identity.kind)}")
                places[index] = [number, *known.places.get(key, (-1, 0))]
        return cls(identity.kind, [shards.key(index) for index in range(len(shards))], files, places, skipped)

    def read(self, index: int, ending: tuple[int, ...] = ()) -> Tensor:
        """The array of a sample, fp16: a shape that all of them share, then `ending`.

        Raises:
            ImageError: It has none because its picture could not be used; the reason is the one found then.
            DataError: The cache was changed or removed since it was opened, or it is not what its sidecar says.
        """
        if index in self._skipped:
            raise ImageError(self._skipped[index], "found when the cache was made")
        number, offset, size = self._places[index].tolist()
        try:
            with self._files[number].open("rb") as file:
                data = os.pread(file.fileno(), tarfile.BLOCKSIZE + size, offset - tarfile.BLOCKSIZE)
            header, content = data[: tarfile.BLOCKSIZE], data[tarfile.BLOCKSIZE :]
            array = np.load(io.BytesIO(content), allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{self._files[number]} became unreadable while it was in use ({error})") from error
        name = f"{self._keys[index]}.{self._kind}.npy"
        self._leading = self._leading or array.shape[: array.ndim - len(ending)]
        shape = (*self._leading, *ending)
        if header[:100].rstrip(b"\0") != name.encode() or array.dtype != np.float16 or array.shape != shape:
            raise DataError(
                f"{self._files[number]} does not hold {name} as fp16 {list(shape)} where its sidecar says; remove "
                f"both, and {mend(self._kind)}"
            )
        return torch.from_numpy(array)


def checked_sidecar(path: Path, shard: Path, identity: CacheIdentity) -> "CacheFacts":
    """The sidecar of the cache shard `path` of `shard`, whose identity, source and length have been compared.

    Raises:
        DataError: See `CachedArrays.open`.
    """
    again = mend(identity.kind)
    try:
        known = read_record(path.with_suffix(".json"), CacheFacts)
    except FileNotFoundError as error:
        raise DataError(f"there is no {identity.kind} cache of {shard} in {path}; {again}") from error
    except (OSError, RecordError) as error:
        raise DataError(f"{path.with_suffix('.json')} is damaged ({error}); remove it, and {again}") from error
    if differences := identity.differences(known.identity):
        lines = "\n".join(f"  {line}" for line in differences)
        raise DataError(f"{path} belongs to another configuration (cached -> wanted):\n{lines}\n{again}")
    if known.source != fingerprint(shard):
        raise DataError(f"{path} is stale: {shard} was changed since it was made; {again}")
    if not path.exists() or path.stat().st_size != known.bytes:
        raise DataError(f"{path} is missing or not as long as its sidecar says; {again}")
    return known


def mend(kind: str) -> str:
    """How a cache is made, and how to do without it."""
    wanted = " image_tokens=true" if kind == IMAGE_TOKENS else ""
    return (
        f"make it with `python scripts/cache_latents.py{wanted}` and the run's base=..., data.buckets.*, data.root=... "
        f"(a further set's its own) and data.cache=..., or set {KEYS[kind]}=online"
    )


def null_tokens(cache: Path, identity: CacheIdentity) -> Tensor:
    """The encoding of a dropped image that was written beside the image tokens, fp16 [1, 257, 1280].

    Raises:
        DataError: It is missing, or of another image encoder.
    """
    path = null_path(cache)
    try:
        known = read_record(path.with_suffix(".json"), _NullFacts)
        if differences := identity.differences(known.identity):
            raise DataError(f"{path} is of another encoder ({'; '.join(differences)}); {mend(identity.kind)}")
        return torch.from_numpy(np.load(path, allow_pickle=False))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); {mend(identity.kind)}") from error


def null_path(cache: Path) -> Path:
    """Where the encoding of a dropped image is kept."""
    return cache / IMAGE_TOKENS / "null.npy"
