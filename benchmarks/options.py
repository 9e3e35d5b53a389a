"""What the command line chooses. Imports nothing slow."""

from dataclasses import dataclass
from pathlib import Path

BENCHMARKS = ("train", "loader", "resume", "generate", "builders", "neighbour", "planning")


@dataclass(frozen=True)
class Options:
    """One benchmark's settings.

    Attributes:
        quick: A small base in place of the full-size one; both have random weights.
        work: Folder of what benchmarks make for themselves (a random base, shards) and keep.
        rounds: How often each contestant is made; more rounds, steadier medians.
        repeats: Measured repetitions a round.
        batch_size: Samples a step.
        pictures: Drawn at once.
        only: Contestants to measure; empty is all.
    """

    quick: bool
    work: Path
    rounds: int
    repeats: int
    batch_size: int
    pictures: int = 1
    only: tuple[str, ...] = ()

    def chosen(self, names: list[str]) -> list[str]:
        """The contestants to measure; the first, which the others are compared with, is always among them."""
        return [name for name in names if not self.only or name in self.only or name == names[0]]
