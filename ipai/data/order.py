"""Which sample sits in slot s of step t: a pure function, the same for any number of ranks, workers and restarts."""

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

from ipai.data.counter_rng import KeyedPermutation, keyed_generator
from ipai.data.shard_shuffle import ShardWindows
from ipai.errors import DataError

CYCLE = 1000
"""Draws after which every set has been drawn exactly in proportion to its weight (to a thousandth)."""


@dataclass(frozen=True)
class Draw:
    """One sample: `index` is its place in the set's shards, `epoch` the number of complete passes before it."""

    set_name: str
    index: int
    epoch: int


class Order(Protocol):
    """Which sample sits where; safe to send to workers."""

    def at(self, step: int, slot: int) -> Draw:
        """The sample in `slot` of `step`; costs the same for every position."""


class SampleOrder:
    """Draws sets by weight and each set's samples by a new permutation every epoch.

    Args:
        seed: The run's seed.
        batch_size: The global batch: slots of a step.
        sizes: Name of a set -> number of its samples.
        weights: Name of a set -> relative weight.
        windows: Name -> a shuffle within a few shards at a time; a set that is not named is shuffled as a whole.

    Raises:
        DataError: A set is empty, or its weight is too small to be drawn once in a cycle.
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
        self._names = list(self._counts)
        for name in self._counts:
            if not sizes.get(name):
                raise DataError(f"the set {name} has no samples; build its shards or leave its task out of tasks")
        _refuse_undrawn(self._counts)

    def at(self, step: int, slot: int) -> Draw:
        """The sample in `slot` of `step`; costs the same for every position."""
        cycle, place = divmod(step * self._batch_size + slot, CYCLE)
        labels, ranks = _shuffled_cycle(self._seed, "task", cycle, tuple(self._counts.values()))
        name = self._names[labels[place]]
        return self._nth(name, cycle * self._counts[name] + int(ranks[place]))

    def _nth(self, name: str, n: int) -> Draw:
        """The n-th draw of a set since the start of the run."""
        epoch, place = divmod(n, self._sizes[name])
        if name in self._windows:
            return Draw(name, self._windows[name].at(epoch, place), epoch)
        return Draw(name, KeyedPermutation(self._sizes[name], self._seed, "sample", name, epoch)[place], epoch)


class BucketedOrder:
    """A size for each step, and in its slots samples whose targets have that size.

    Over many steps each set is drawn by its weight, and each of its samples as often as its others, to a thousandth of
    all draws: what comes to less is not drawn.

    Args:
        seed: The run's seed.
        batch_size: The global batch: slots of a step.
        members: Name of a set -> number of a size -> the samples that have it, see `buckets.members_of`.
        weights: Name of a set -> relative weight.
        windows: Number of a size -> the windows of `SampleOrder` over these samples alone.

    Raises:
        DataError: The weight of a set is too small to be drawn once in a cycle.
    """

    def __init__(
        self,
        seed: int,
        batch_size: int,
        members: Mapping[str, Mapping[int, np.ndarray]],
        weights: dict[str, float],
        windows: Mapping[int, dict[str, ShardWindows]],
    ) -> None:
        self._seed = seed
        self._members = members
        _refuse_undrawn(cycle_counts(weights))
        shares: dict[int, dict[str, float]] = defaultdict(dict)
        for name, of_size in members.items():
            total = sum(map(len, of_size.values()))
            for number, held in of_size.items():
                shares[number][name] = weights[name] * len(held) / total
        counts = cycle_counts({f"{number:05}": math.fsum(of_set.values()) for number, of_set in shares.items()})
        self._counts = {int(number): count for number, count in counts.items() if count}
        self._numbers = list(self._counts)
        self._orders = {
            number: SampleOrder(
                seed, batch_size, {name: len(members[name][number]) for name in drawn}, drawn, windows.get(number)
            )
            for number in self._numbers
            for drawn in [{name: shares[number][name] for name, n in cycle_counts(shares[number]).items() if n}]
        }

    def at(self, step: int, slot: int) -> Draw:
        """The sample in `slot` of `step`; costs the same for every position."""
        cycle, place = divmod(step, CYCLE)
        labels, ranks = _shuffled_cycle(self._seed, "bucket", cycle, tuple(self._counts.values()))
        number = self._numbers[labels[place]]
        draw = self._orders[number].at(cycle * self._counts[number] + int(ranks[place]), slot)
        return Draw(draw.set_name, int(self._members[draw.set_name][number][draw.index]), draw.epoch)


def _refuse_undrawn(counts: Mapping[str, int]) -> None:
    for name, count in counts.items():
        if count == 0:
            raise DataError(f"the weight of {name} is below 1/{CYCLE} of the sum: it would never be drawn")


@lru_cache(maxsize=64)
def _shuffled_cycle(seed: int, stream: str, cycle: int, counts: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """For each place of a cycle: the number of its set, and how often that was drawn earlier in the cycle."""
    labels = keyed_generator(seed, stream, cycle).permutation(np.repeat(np.arange(len(counts)), counts))
    ranks = np.empty(CYCLE, dtype=np.int64)
    for label, count in enumerate(counts):
        ranks[labels == label] = np.arange(count)
    return labels, ranks


def cycle_counts(weights: dict[str, float]) -> dict[str, int]:
    """How often each set is drawn in a cycle: by largest remainder, whatever the order of `weights`."""
    names = sorted(weights)
    total = math.fsum(weights.values())  # the order of what is added shows in the last bit of an ordinary sum
    shares = {name: CYCLE * weights[name] / total for name in names}
    counts = {name: int(share) for name, share in shares.items()}
    by_remainder = sorted(names, key=lambda name: (counts[name] - shares[name], name))
    for name in by_remainder[: CYCLE - sum(counts.values())]:
        counts[name] += 1
    return counts
