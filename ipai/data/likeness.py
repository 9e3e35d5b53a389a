"""How alike two pictures are, whatever their size and compression, and which of very many are."""

from collections import defaultdict
from itertools import combinations, count

import numpy as np
from PIL import Image

BITS = 64
_BANDS = 8  # bytes of a hash


def perceptual_hash(picture: Image.Image) -> int:
    """64 bits: whether the brightness rises from cell to cell along each row of a 9 x 8 miniature (difference hash)."""
    cells = picture.convert("L").resize((9, 8), Image.Resampling.BOX).tobytes()
    bits = 0
    for row in range(8):
        for left in range(row * 9, row * 9 + 8):
            bits = bits << 1 | (cells[left] < cells[left + 1])
    return bits


def hash_distance(first: int, second: int) -> int:
    """In how many of their 64 bits two hashes differ: 0..64; unrelated pictures differ in about half of them."""
    return (first ^ second).bit_count()


def near_pairs(hashes: np.ndarray, within: int) -> np.ndarray:
    """All pairs that differ in at most `within` bits, int64 [P, 2], the smaller index first.

    Hashes that differ in d bits agree in at least 8 - d of their 8 bytes, so only those that agree in some choice of as
    many bytes are compared: near-linear while few unlike hashes agree so far, and every pair is compared from 8 on.

    Args:
        hashes: uint64 [N], each once.
        within: From 0.
    """
    found = [np.empty(0, np.int64)]
    bands = np.ascontiguousarray(hashes).view(np.uint8).reshape(-1, _BANDS)
    for chosen in combinations(range(_BANDS), max(0, _BANDS - within)):
        keys = np.zeros(len(hashes), np.uint64)
        for band in chosen:
            keys = keys << np.uint64(8) | bands[:, band]
        order = np.argsort(keys, kind="stable")
        keys, sorted_hashes = keys[order], hashes[order]
        left = np.arange(len(hashes))
        for shift in count(1):  # further and further neighbours, while any agree
            left = left[: np.searchsorted(left, len(hashes) - shift)]
            left = left[keys[left] == keys[left + shift]]
            if not left.size:
                break
            near = left[np.bitwise_count(sorted_hashes[left] ^ sorted_hashes[left + shift]) <= within]
            one, other = order[near], order[near + shift]
            found.append(np.minimum(one, other) * len(hashes) + np.maximum(one, other))
    return np.stack(np.divmod(np.unique(np.concatenate(found)), max(len(hashes), 1)), axis=1)


def first_alike(hashes: np.ndarray, within: int) -> np.ndarray:
    """For each of uint64 [N] the index of the first that is kept and alike: its own where it is kept itself, int64 [N].

    A hash is kept unless one that is kept before it differs in at most `within` bits; so no two kept ones are alike.
    """
    _, firsts, values = np.unique(hashes, return_index=True, return_inverse=True)
    order = np.argsort(firsts)  # the values, as they appear
    place = np.argsort(order)
    earlier: dict[int, list[int]] = defaultdict(list)
    for one, other in near_pairs(hashes[firsts[order]], within).tolist():
        earlier[other].append(one)
    found = np.arange(len(order))
    for value in sorted(earlier):
        found[value] = min((one for one in earlier[value] if found[one] == one), default=value)
    result: np.ndarray = firsts[order[found[place[values]]]] if len(hashes) else np.zeros(0, np.int64)
    return result


def first_of_alike(hashes: np.ndarray, within: int) -> np.ndarray:
    """Which of uint64 [N] to keep so that no two kept ones differ in `within` bits or fewer: bool [N]."""
    return first_alike(hashes, within) == np.arange(len(hashes))
