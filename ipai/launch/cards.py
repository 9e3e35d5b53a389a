"""GPUs by the data sheets of their maker: what a plan can be held against. Nothing here was measured."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """One GPU.

    Attributes:
        memory: Bytes.
        flops: bfloat16 operations a second, dense, summed in fp32.
        watts: The most that it draws.
    """

    memory: int
    flops: float
    watts: int


CARDS = {
    "h200": Card(141 * 10**9, 989e12, 700),
    "h100": Card(80 * 10**9, 989e12, 700),
    "a100-80": Card(80 * 10**9, 312e12, 400),
    "a100-40": Card(40 * 10**9, 312e12, 400),
    "l40s": Card(48 * 10**9, 362e12, 350),
    "l4": Card(24 * 10**9, 121e12, 72),
    "rtx5090": Card(32 * 10**9, 209.5e12, 575),
    "rtx4090": Card(24 * 10**9, 165.2e12, 450),
    "rtx3090": Card(24 * 10**9, 71e12, 350),
}
"""By the names that `card=` has, SXM forms where there are several; from NVIDIA's data sheets and white papers."""
