"""One shard of a cache: what is computed of each sample, checked, and written whole or not at all."""

import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ipai.caching.decoding import Picture
from ipai.data.cache import CacheIdentity
from ipai.errors import DataError
from ipai.files import atomic_path, fingerprint, sha256_of, write_json

NOT_FINITE = "not_finite"
Encode = Callable[[Tensor], Tensor]


def write_shard(
    path: Path,
    source: Path,
    identity: CacheIdentity,
    batches: Iterator[list[Picture]],
    encode: Encode,
    max_skip_fraction: float,
) -> None:
    """Encode the pictures of the shard `source` and write the arrays, fp16, to `path` and its sidecar.

    The sidecar comes last: a shard without one was not finished. Equal pictures and batches give equal bytes.

    Args:
        path: The cache shard.
        source: The shard that the pictures come from.
        identity: What the arrays depend on.
        batches: The pictures in the shard's order.
        encode: From pixels, uint8 [B, 3, height, width], to arrays [B, ...].
        max_skip_fraction: The largest share of samples that may be without an array.

    Raises:
        DataError: More samples than that could not be used.
    """
    path.with_suffix(".json").unlink(missing_ok=True)
    before = fingerprint(source)
    places: dict[str, tuple[int, int]] = {}
    skipped: dict[str, str] = {}
    with atomic_path(path) as aside:
        with tarfile.open(aside, "w:", format=tarfile.USTAR_FORMAT) as tar:
            for batch in batches:
                _add_batch(tar, identity.kind, batch, encode, places, skipped)
        length, digest = aside.stat().st_size, sha256_of(aside)
    total = len(places) + len(skipped)
    if len(skipped) > max(max_skip_fraction * total, 1):
        raise DataError(
            f"{source}: {len(skipped)} of {total} samples cannot be used, above data.max_skip_fraction="
            f"{max_skip_fraction}: {dict(list(skipped.items())[:5])}. {NOT_FINITE} means that the network's precision "
            "is too low (base.dtype=fp32); for other reasons build the shard again or raise the limit"
        )
    sidecar: dict[str, Any] = {
        "identity": identity.facts,
        "source": before,
        "bytes": length,
        "sha256": digest,
        "count": len(places),
        "skipped": skipped,
        "places": places,
    }
    write_json(path.with_suffix(".json"), sidecar)


def _add_batch(
    tar: tarfile.TarFile,
    kind: str,
    batch: list[Picture],
    encode: Encode,
    places: dict[str, tuple[int, int]],
    skipped: dict[str, str],
) -> None:
    skipped |= {picture.key: picture.reason for picture in batch if picture.reason}
    usable = [(picture.key, picture.pixels) for picture in batch if picture.pixels is not None]
    if not usable:
        return
    arrays = _encoded([pixels for _, pixels in usable], encode)
    for (key, _), array in zip(usable, arrays, strict=True):
        if not torch.isfinite(array).all():
            skipped[key] = NOT_FINITE
            continue
        data = npy_bytes(array)
        # Where the content will lie: after this member's own header block.
        places[key] = (tar.offset + tarfile.BLOCKSIZE, len(data))
        member = tarfile.TarInfo(f"{key}.{kind}.npy")
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))


def _encoded(pictures: list[Tensor], encode: Encode) -> list[Tensor]:
    """The arrays of pictures, fp16, in their order; those of one size are encoded together."""
    places: dict[torch.Size, list[int]] = {}
    for place, pixels in enumerate(pictures):
        places.setdefault(pixels.shape, []).append(place)
    found: dict[int, Tensor] = {}
    for alike in places.values():
        arrays = encode(torch.stack([pictures[place] for place in alike])).to(torch.float16).cpu()
        found |= dict(zip(alike, arrays, strict=True))
    return [found[place] for place in range(len(pictures))]


def npy_bytes(array: Tensor) -> bytes:
    """A tensor as a `.npy` file."""
    buffer = io.BytesIO()
    np.save(buffer, array.numpy(), allow_pickle=False)
    return buffer.getvalue()
