"""A shuffle that stays within a few shards at a time, so that a bounded cache reads each shard once an epoch."""

from functools import lru_cache

import numpy as np

from ipai.data.counter_rng import KeyedPermutation, keyed_generator


class ShardWindows:
    """Shards in a new order every epoch, cut into windows, and the samples of each window shuffled.

    Args:
        counts: Samples of each shard.
        window: Shards that are mixed.
        seed: The run's seed.
        task: Whose shards they are.
    """

    def __init__(self, counts: list[int], window: int, seed: int, task: str) -> None:
        self._counts = np.array(counts, dtype=np.int64)
        self._starts = np.concatenate([[0], np.cumsum(self._counts)])
        self._window = window
        self._seed = seed
        self._task = task
        self._epoch = lru_cache(maxsize=4)(self._shuffled)

    def at(self, epoch: int, place: int) -> int:
        """The sample in a place of an epoch, a pure function of the arguments and of what the windows were made of."""
        shards, ends = self._epoch(epoch)
        number = int(np.searchsorted(ends, place, side="right")) // self._window * self._window
        last = min(number + self._window, len(shards))
        start = int(ends[number - 1]) if number else 0
        within = KeyedPermutation(int(ends[last - 1]) - start, self._seed, "window", self._task, epoch, number)
        mixed = start + within[place - start]
        position = int(np.searchsorted(ends, mixed, side="right"))
        return int(self._starts[shards[position]] + mixed - (ends[position] - self._counts[shards[position]]))

    def _shuffled(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """The shards in an epoch's order, and how many samples there are up to the end of each."""
        shards = keyed_generator(self._seed, f"shards/{self._task}", epoch).permutation(len(self._counts))
        return shards, np.cumsum(self._counts[shards])

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name != "_epoch"}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._epoch = lru_cache(maxsize=4)(self._shuffled)
