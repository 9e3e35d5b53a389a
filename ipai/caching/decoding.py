"""The pictures of shards in their order, decoded as training decodes them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ipai.caching.plan import Work
from ipai.data.bucket_sizes import Size
from ipai.data.buckets import size_number
from ipai.data.cache import LATENTS
from ipai.data.images import cut_to, decode_image
from ipai.data.loader import start_worker
from ipai.errors import SampleError
from ipai.launch.forking import hear_signals, start_forkserver


@dataclass(frozen=True)
class Picture:
    """One picture, uint8 [3, height, width], or why it cannot be used (an empty reason where it can)."""

    key: str
    pixels: Tensor | None
    reason: str = ""


class ShardPictures(torch.utils.data.Dataset[Picture]):
    """What a kind of cache encodes: targets for latents, conditions for image tokens; see `__getitem__`."""

    def __init__(self, works: list[Work], sizes: Mapping[str, tuple[Size, ...]], max_pixels: int) -> None:
        """Take the pictures of `works`, at most `max_pixels` large, each cut to the nearest of `sizes[kind]`."""
        self._works = works
        self._sizes = sizes
        self._max_pixels = max_pixels

    def __getitem__(self, place: tuple[int, int]) -> Picture:
        """The picture of a sample: number of the work, index in its shards."""
        number, index = place
        work = self._works[number]
        target = work.kind == LATENTS
        key = work.shards.key(index)
        try:
            raw = work.shards.read(index, target=target, condition=not target)
            image = decode_image(raw.target if target else raw.condition, self._max_pixels)
        except SampleError as error:
            return Picture(key, None, error.reason)
        sizes = self._sizes[work.kind]
        # By the header, as the trainer finds it.
        number = size_number(work.shards, index, sizes) if len(sizes) > 1 else 0
        return Picture(key, cut_to(image, sizes[number]))


def batches_of(works: list[Work], batch_size: int) -> list[list[tuple[int, int]]]:
    """Places of all samples in order, in batches that never hold two shards: a shard's bytes depend on it alone."""
    return [
        [(number, index) for index in work.samples[start : start + batch_size]]
        for number, work in enumerate(works)
        for start in range(0, len(work.samples), batch_size)
    ]


def picture_stream(
    pictures: ShardPictures, batches: list[list[tuple[int, int]]], workers: int
) -> Iterator[list[Picture]]:
    """The pictures of `batches`, in their order, decoded ahead of need by `workers` processes."""
    if workers:
        start_forkserver(ShardPictures.__module__)
    loader: DataLoader[Picture] = DataLoader(
        pictures,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=list,
        multiprocessing_context="forkserver" if workers else None,
        worker_init_fn=_start_hearing_worker,
    )
    yield from loader


def _start_hearing_worker(worker: int) -> None:
    hear_signals()
    start_worker(worker)
