"""`loader`: our loader against plain webdataset with PIL and torchvision on the same shards; no network is involved.

Pictures have SD1.5's sizes, and cached arrays SD1.5's shapes with random content, also with --quick.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from webdataset import WebDataset

from benchmarks.options import Options
from benchmarks.reference import TutorialPictures
from benchmarks.report import Report, Row
from benchmarks.shards import TASKS, ensure_shards
from benchmarks.timing import Times, Work, take_turns
from ipai.caching.decoding import Picture
from ipai.caching.writing import write_shard
from ipai.data.cache import IMAGE_TOKENS, LATENTS, CachedArrays, CacheIdentity, cache_shard
from ipai.data.config import DataConfig
from ipai.data.dataset import TrainingDataset
from ipai.data.loader import SlotBatches, make_loader, micro_batches
from ipai.data.order import SampleOrder
from ipai.data.sample_images import Cached, Sizes
from ipai.data.shards import ShardSet

SIZES = Sizes(resolution=512, image_size=224, latent_shape=(4, 64, 64))
_SHAPES = {LATENTS: (8, 64, 64), IMAGE_TOKENS: (257, 1280)}
_SAMPLES = {True: 24, False: 100}  # a task; by quick
_PREFETCH = 4
_LOADERS: dict[str, tuple[str, ...] | None] = {  # what is cached; None is the plain loader
    "plain": None,
    "ours, nothing cached": (),
    "ours, VAE cached": (LATENTS,),
    "ours, VAE and CLIP cached": (LATENTS, IMAGE_TOKENS),
}
_WORKERS = (0, 2)
CONTESTANTS = {f"{name}, {workers} workers": (_LOADERS[name], workers) for workers in _WORKERS for name in _LOADERS}


def measure(options: Options, done: Callable[[], object]) -> Report:
    """Let every loader deliver all samples once a repetition, in turns."""
    root = ensure_shards(options.work, _SAMPLES[options.quick])
    _ensure_caches(root)
    count = len(TASKS) * _SAMPLES[options.quick] // options.batch_size  # batches a repetition
    makers: dict[str, Callable[[], AbstractContextManager[Work]]] = {
        name: partial(_contestant, name, root, options.batch_size, count) for name in options.chosen(list(CONTESTANTS))
    }
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a loader's worker
    try:
        times = take_turns(makers, options, done)
    finally:
        torch.set_num_threads(threads)
    samples = count * options.batch_size
    return Report(
        "loader", options.quick, [_row(name, times, samples) for name in times],
        facts={"batch size": options.batch_size, "samples a repetition": samples, "target, condition, px": "512, 224"},
        notes=["0 workers decode in the calling process with one thread. A third of the samples hold one picture."],
    )  # fmt: skip


@contextmanager
def _contestant(name: str, root: Path, batch_size: int, count: int) -> Iterator[Work]:
    kinds, workers = CONTESTANTS[name]
    batches: Generator[Any, None, None]
    if kinds is None:
        batches = _plain_batches(root, batch_size, workers)
    else:
        loader = make_loader(_dataset(root, kinds, batch_size), _endless(batch_size), workers, _PREFETCH, False)
        batches = micro_batches(loader)
    try:
        yield lambda: [next(batches) for _ in range(count)][-1]
    finally:
        batches.close()


def _plain_batches(root: Path, batch_size: int, workers: int) -> Generator[list[Tensor], None, None]:
    files = [str(path) for task in TASKS for path in ShardSet.open(root, task, "train").files]
    samples = WebDataset(files, shardshuffle=False).decode("pil").repeat()
    pictures = samples.map(TutorialPictures(SIZES.resolution, SIZES.image_size))
    yield from DataLoader(
        pictures, batch_size=batch_size, num_workers=workers, prefetch_factor=_PREFETCH if workers else None
    )


def _dataset(root: Path, kinds: tuple[str, ...], batch_size: int) -> TrainingDataset:
    shards = {task: ShardSet.open(root, task, "train") for task in TASKS}
    arrays = {
        task: Cached(**{kind: CachedArrays.open(root / "cache", held, _identity(kind)) for kind in kinds})
        for task, held in shards.items()
    }
    order = SampleOrder(0, batch_size, {task: len(held) for task, held in shards.items()}, dict.fromkeys(TASKS, 1.0))
    wordings: tuple[str, ...] = ("use the picture",)
    instructions = dict.fromkeys(TASKS, wordings)
    return TrainingDataset(shards, order, instructions, DataConfig(str(root)), 0, SIZES, cached=arrays)


def _endless(batch_size: int) -> SlotBatches:
    return SlotBatches(0, 10**9, batch_size, batch_size, rank=0, processes=1)


def _identity(kind: str) -> CacheIdentity:
    return CacheIdentity(kind, {"content": "random, for measuring"})


def _ensure_caches(root: Path) -> None:
    for kind, shape in _SHAPES.items():
        for task in TASKS:
            held = ShardSet.open(root, task, "train")
            for number, shard in enumerate(held.files):
                path = cache_shard(root / "cache", kind, task, shard)
                if not path.with_suffix(".json").exists():
                    pictures = [Picture(held.key(index), torch.zeros(1)) for index in held.indices_in(number)]
                    write_shard(path, shard, _identity(kind), iter([pictures]), partial(_random, shape), 0.0)


def _random(shape: tuple[int, ...], pictures: Tensor) -> Tensor:
    return torch.randn(len(pictures), *shape)


def _row(name: str, times: dict[str, Times], samples: int) -> Row:
    workers = CONTESTANTS[name][1]
    own, plain = times[name], times.get(f"plain, {workers} workers")
    return {
        "loader": name,
        "samples/s": samples / own.wall,
        "times the plain one": plain.wall / own.wall if plain else None,
        # A worker's time is not this process's.
        "by processor time": plain.cpu / own.cpu if plain and not workers else None,
        "fastest, slowest s": f"{min(own.wall_s):.3g}, {max(own.wall_s):.3g}",
    }
