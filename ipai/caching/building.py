"""Filling a cache: the networks compute what the plan lacks."""

import math
import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import torch

from ipai.backbones.backbone import Backbone
from ipai.backbones.families import load_base
from ipai.backbones.loading import warn_of_slow
from ipai.caching.config import CachingConfig
from ipai.caching.decoding import Picture, ShardPictures, batches_of, picture_stream
from ipai.caching.plan import CachePlan
from ipai.caching.writing import Encode, npy_bytes, write_shard
from ipai.data.cache import IMAGE_TOKENS, LATENTS, CacheIdentity, null_path
from ipai.files import atomic_path, write_json


def fill_cache(config: CachingConfig, plan: CachePlan, advance: Callable[[int], object]) -> None:
    """Compute and write this process's share of the plan; `advance` is called with the samples of each batch.

    Raises:
        DataError: Too many samples of a shard cannot be used, or a shard changed meanwhile.
        WeightsError: The networks cannot be loaded.
    """
    rank, processes = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    device = _device()
    warn_of_slow(config.base.dtype, device)
    parts = {LATENTS: "vae", IMAGE_TOKENS: "image_encoder"}
    base = load_base(config.base, device, only=[parts[kind] for kind in plan.identities])
    if IMAGE_TOKENS in plan.identities and rank == 0:
        _write_null(base, config.data.cache_root, plan.identities[IMAGE_TOKENS])
    works = plan.share(rank, processes)
    batches = batches_of(works, config.batch_size)
    targets = config.data.buckets.sizes(config.base.resolution)
    sizes = {LATENTS: targets, IMAGE_TOKENS: ((config.base.image_size,) * 2,)}
    stream = picture_stream(ShardPictures(works, sizes, config.data.max_pixels), batches, config.data.workers)
    for work in works:
        own = islice(stream, math.ceil(len(work.samples) / config.batch_size))
        write_shard(
            work.path, work.shards.files[work.number], plan.identities[work.kind],
            _counted(own, advance), _encoder(base, work.kind), config.data.max_skip_fraction,
        )  # fmt: skip


def _counted(batches: Iterator[list[Picture]], advance: Callable[[int], object]) -> Iterator[list[Picture]]:
    for batch in batches:
        yield batch
        advance(len(batch))


def _encoder(base: Backbone, kind: str) -> Encode:
    encode = base.target_moments if kind == LATENTS else base.encode_images
    return lambda pixels: encode(pixels.to(base.device, non_blocking=True))


def _write_null(base: Backbone, cache: Path, identity: CacheIdentity) -> None:
    path = null_path(cache)
    with atomic_path(path) as aside:
        aside.write_bytes(npy_bytes(base.null_condition().to(torch.float16).cpu()))
    write_json(path.with_suffix(".json"), {"identity": identity.facts})


def _device() -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
