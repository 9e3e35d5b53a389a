"""Which slots a process computes, and the DataLoader that decodes them ahead of need."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader

from ipai.data.collate import Batch, TrainingSample, collate
from ipai.data.dataset import TrainingDataset
from ipai.launch.forking import end_with_parent, start_forkserver


@dataclass(frozen=True)
class SlotBatches:
    """The (step, slot) pairs of one process's micro-batches, from a step to the end.

    In accumulation a, rank r of w takes the micro-batch number a * w + r of the step's slots, so that together the
    ranks take each slot once, however the batch is cut.
    """

    first_step: int
    last_step: int
    batch_size: int
    micro_batch_size: int
    rank: int
    processes: int

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        stride = self.micro_batch_size * self.processes
        for step in range(self.first_step, self.last_step):
            for start in range(self.rank * self.micro_batch_size, self.batch_size, stride):
                yield [(step, slot) for slot in range(start, start + self.micro_batch_size)]

    def __len__(self) -> int:
        steps = self.last_step - self.first_step
        return steps * self.batch_size // (self.micro_batch_size * self.processes)


def make_loader(
    dataset: TrainingDataset, batches: SlotBatches, workers: int, prefetch: int, pin_memory: bool
) -> DataLoader[TrainingSample]:
    """A loader over `batches`, in order; its start costs the same at every step.

    Args:
        dataset: Decodes a sample.
        batches: What this process computes.
        workers: Processes that decode; 0 decodes in the calling process.
        prefetch: Micro-batches each worker keeps ready.
        pin_memory: Page-lock batches for a fast copy to a GPU.
    """
    if workers:
        start_forkserver(TrainingDataset.__module__)
    return DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin_memory,
        prefetch_factor=prefetch if workers else None,
        # Forking a process that holds models and threads copies its memory and can deadlock.
        multiprocessing_context="forkserver" if workers else None,
        worker_init_fn=start_worker,
    )


def micro_batches(loader: "DataLoader[TrainingSample]") -> Generator[Batch, None, None]:
    """What a loader gives; however this ends, its workers end too.

    An error from a worker keeps the loader alive until Python looks for cycles. At its exit it would wait for workers
    that it asks to end by a signal to which they are deaf.
    """
    batches: Any = iter(loader)
    try:
        yield from batches
    finally:
        if loader.num_workers:
            batches._shutdown_workers()


def start_worker(_worker: int) -> None:
    """Workers decode one sample at a time: more threads would only fight for the cores."""
    torch.set_num_threads(1)
    end_with_parent()
