"""Randomness without state: each number is a function of a key and a position, so nothing has to be saved to resume."""

import hashlib

import numpy as np

_ROUNDS = 6
_MASK = (1 << 64) - 1


def keyed_generator(seed: int, stream: str, *position: int) -> np.random.Generator:
    """A generator that depends on nothing but its arguments.

    Args:
        seed: The run's seed.
        stream: What the numbers are for; streams are independent, so an option that uses one leaves the others alone.
        position: At most three integers, such as step and slot.
    """
    digest = hashlib.sha256(f"{seed}/{stream}".encode()).digest()
    key = [int.from_bytes(digest[i : i + 8], "little") for i in (0, 8)]
    # The lowest counter word is Philox's own, which counts the numbers drawn.
    counter = [0, *position, *[0] * (3 - len(position))]
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


class KeyedPermutation:
    """A permutation of range(n) whose elements are computed one by one: a Feistel network with cycle walking.

    Args:
        n: Size of the range, at least 1.
        key: Integers and texts that choose the permutation.
    """

    def __init__(self, n: int, *key: int | str) -> None:
        self.n = n
        self._half_bits = max((n - 1).bit_length() + 1, 2) // 2
        digest = hashlib.sha256("/".join(str(part) for part in key).encode()).digest()
        self._keys = [int.from_bytes(digest[4 * i : 4 * i + 4], "little") for i in range(_ROUNDS)]

    def __getitem__(self, index: int) -> int:
        """The element at `index`; raises IndexError outside range(n)."""
        if not 0 <= index < self.n:
            raise IndexError(f"{index} is not in range({self.n})")
        value = self._feistel(index)
        while value >= self.n:  # the network permutes a power of four below 4 n, so this ends after a few rounds
            value = self._feistel(value)
        return value

    def _feistel(self, value: int) -> int:
        mask = (1 << self._half_bits) - 1
        left, right = value >> self._half_bits, value & mask
        for key in self._keys:
            left, right = right, left ^ (_mix(right, key) & mask)
        return left << self._half_bits | right


def _mix(value: int, key: int) -> int:
    """SplitMix64's finaliser: every bit of the input changes about half the bits of the output."""
    value = (value + (key << 32 | key) + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) & _MASK
    return value ^ value >> 31
