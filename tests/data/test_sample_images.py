"""What the loader decodes, counted: its speed rests on decoding nothing that is cached."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from ipai.caching.decoding import Picture
from ipai.caching.writing import write_shard as write_cache
from ipai.data import sample_images as module
from ipai.data.cache import IMAGE_TOKENS, LATENTS, CachedArrays, CacheIdentity, cache_shard
from ipai.data.images import decode_image
from ipai.data.sample_images import Cached, PictureReader, Sizes
from ipai.data.shards import ShardSet
from tests.helpers.shard_writer import sample, write_shard

SIZES = Sizes(resolution=64, image_size=16, latent_shape=(4, 8, 8))
NOTHING: tuple[str, ...] = ()
VAE, BOTH = (LATENTS,), (LATENTS, IMAGE_TOKENS)


def shards_of(root: Path, task: str) -> ShardSet:
    write_shard(root / task / "train-000000.tar", [sample(task, 0)])
    return ShardSet.open(root, task, "train")


def cached(root: Path, shards: ShardSet, kinds: tuple[str, ...]) -> Cached:
    def zeros() -> Iterator[list[Picture]]:
        yield [Picture(shards.key(0), torch.zeros(SIZES.latent_shape))]

    arrays = {}
    for kind in kinds:
        path = cache_shard(root / "cache", kind, shards.task, shards.files[0])
        write_cache(path, shards.files[0], CacheIdentity(kind, {}), zeros(), lambda pixels: pixels, 0.0)
        arrays[kind] = CachedArrays.open(root / "cache", shards, CacheIdentity(kind, {}))
    return Cached(**arrays)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The files that are decoded."""
    files: list[bytes] = []

    def counting(data: bytes, max_pixels: int) -> Image.Image:
        files.append(data)
        return decode_image(data, max_pixels)

    monkeypatch.setattr(module, "decode_image", counting)
    return files


@pytest.mark.parametrize(
    ("task", "kinds", "count"),
    [
        ("style", NOTHING, 2),
        ("style", VAE, 1),
        ("style", BOTH, 0),
        ("copy", NOTHING, 1),
        ("copy", VAE, 1),
        ("copy", BOTH, 0),
    ],
)
def test_no_picture_is_decoded_without_need(
    tmp_path: Path, decoded: list[bytes], task: str, kinds: tuple[str, ...], count: int
) -> None:
    shards = shards_of(tmp_path, task)
    raw, pictures = PictureReader(shards, cached(tmp_path, shards, kinds), SIZES, 10**6)(0)
    assert len(decoded) == count
    assert bool(raw.target or raw.condition) == bool(count)  # and no bytes of pictures are read either
    assert (pictures.target is None, pictures.condition is None) == (LATENTS in kinds, IMAGE_TOKENS in kinds)
