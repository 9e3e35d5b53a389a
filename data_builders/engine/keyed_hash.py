"""Keyed hashes: choices that depend on a seed and a name only, never on order, worker count or what else was there."""

import hashlib
import json
from typing import Any

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def rank(seed: int, purpose: str, name: str) -> bytes:
    """A place in a random order: sort names by it to shuffle them. Different purposes give independent orders."""
    return hashlib.blake2b(f"{purpose}\0{seed}\0{name}".encode(), digest_size=16).digest()


def share(seed: int, purpose: str, name: str) -> float:
    """A number in 0 <= x < 1, evenly spread over the names: `share(...) < 0.5` picks half of them."""
    return int.from_bytes(rank(seed, purpose, name)[:6]) / 2**48


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON value in canonical form (64 hexadecimal digits). NaN is refused with ValueError."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def canonical(value: Any) -> str:
    """A JSON value as text, the same for equal values; raises ValueError for NaN."""
    return _ENCODER.encode(value)
