"""Which sample sits in slot s of step t: a pure function, the same for any number of ranks, workers and restarts."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ipai.data.counter_rng import KeyedPermutation, keyed_generator
from ipai.data.shard_shuffle import ShardWindows
from ipai.errors import DataError

CYCLE = 1000
"""Draws after which every task has been drawn exactly in proportion to its weight (to a thousandth)."""


@dataclass(frozen=True)
class Draw:
    """One sample: `index` is its place in the task's shards, `epoch` the number of complete passes before it."""

    task: str
    index: int
    epoch: int


class SampleOrder:
    """Draws tasks by weight and each task's samples by a new permutation every epoch.

    Args:
        seed: The run's seed.
        batch_size: The global batch: slots of a step.
        sizes: Task -> number of its samples.
        weights: Task -> relative weight.
        windows: Task -> a shuffle within a few shards at a time; a task that is not named is shuffled as a whole.

    Raises:
        DataError: A task is empty, or its weight is too small to be drawn once in a cycle.
    """

    def __init__(
        self,
        seed: int,
        batch_size: int,
        sizes: dict[str, int],
        weights: dict[str, float],
        windows: dict[str, ShardWindows] | None = None,
    ) -> None:
        self._seed = seed
        self._batch_size = batch_size
        self._sizes = sizes
        self._windows = windows or {}
        self._counts = cycle_counts(weights)
        self._tasks = list(self._counts)
        for task, count in self._counts.items():
            if not sizes.get(task):
                raise DataError(f"the task {task} has no samples; build its shards or leave it out of tasks")
            if count == 0:
                raise DataError(f"data.weights.{task} is below 1/{CYCLE} of the sum: it would never be drawn")

    def at(self, step: int, slot: int) -> Draw:
        """The sample in `slot` of `step`; costs the same for every position."""
        cycle, place = divmod(step * self._batch_size + slot, CYCLE)
        labels, ranks = _shuffled_cycle(self._seed, cycle, tuple(self._counts.values()))
        task = self._tasks[labels[place]]
        return self._nth(task, cycle * self._counts[task] + int(ranks[place]))

    def _nth(self, task: str, n: int) -> Draw:
        """The n-th draw of a task since the start of the run."""
        epoch, place = divmod(n, self._sizes[task])
        if task in self._windows:
            return Draw(task, self._windows[task].at(epoch, place), epoch)
        return Draw(task, KeyedPermutation(self._sizes[task], self._seed, "sample", task, epoch)[place], epoch)


@lru_cache(maxsize=64)
def _shuffled_cycle(seed: int, cycle: int, counts: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """For each place of a cycle: the number of its task, and how often that task was drawn earlier in the cycle."""
    labels = keyed_generator(seed, "task", cycle).permutation(np.repeat(np.arange(len(counts)), counts))
    ranks = np.empty(CYCLE, dtype=np.int64)
    for label, count in enumerate(counts):
        ranks[labels == label] = np.arange(count)
    return labels, ranks


def cycle_counts(weights: dict[str, float]) -> dict[str, int]:
    """How often each task is drawn in a cycle: by largest remainder, whatever the order of `weights`."""
    names = sorted(weights)
    total = math.fsum(weights.values())  # the order of what is added shows in the last bit of an ordinary sum
    shares = {name: CYCLE * weights[name] / total for name in names}
    counts = {name: int(share) for name, share in shares.items()}
    by_remainder = sorted(names, key=lambda name: (counts[name] - shares[name], name))
    for name in by_remainder[: CYCLE - sum(counts.values())]:
        counts[name] += 1
    return counts
