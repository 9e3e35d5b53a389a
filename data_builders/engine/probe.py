"""How long a build would take: a few of its samples are made, timed and thrown away."""

import sys
import time
from collections import Counter
from dataclasses import dataclass

from data_builders.engine.config import BuildConfig
from data_builders.engine.plan import Plan
from data_builders.engine.records import Builder, Drop, Record
from data_builders.engine.shard import make_all
from ipai.errors import DataError


@dataclass(frozen=True)
class Timing:
    """What a probe measured.

    Attributes:
        samples: Planned samples that were made, the first ones not counted.
        seconds: For these.
        first_seconds: For the first ones before them, loading included.
        drops: How many of all could not be built, by reason.
        device: That did the work, in words.
        on_gpu: It is a GPU.
        planned: Samples of the whole build.
    """

    samples: int
    seconds: float
    first_seconds: float
    drops: Counter[str]
    device: str
    on_gpu: bool
    planned: int

    @property
    def hours(self) -> float:
        """For the whole build on one such device."""
        return self.planned * self.seconds / self.samples / 3600


def time_samples(builder: Builder, config: BuildConfig, plan: Plan) -> Timing:
    """Make `config.probe` planned samples, evenly spread, and write none; whole batches where it works in batches.

    Raises:
        DataError: The plan is too short to measure anything, or as in a build.
        WeightsError, ConfigError: A teacher cannot be loaded.
    """
    size = config.at_once
    warm, timed = _spread(plan, size, -(-config.probe // size) * size)
    drops: Counter[str] = Counter()
    start = time.perf_counter()
    drops += _make(builder, warm)
    between = time.perf_counter()
    drops += _make(builder, timed)
    seconds = time.perf_counter() - between
    device, on_gpu = _device(config)
    planned = plan.count("train") + plan.count("val")
    return Timing(len(timed), seconds, between - start, drops, device, on_gpu, planned)


def timing_text(timing: Timing) -> str:
    """The measurement and what follows from it, in two or three lines."""
    unit = "GPU" if timing.on_gpu else "worker"
    each = timing.seconds / timing.samples
    lines = [
        f"time for all {timing.planned:,}: {timing.hours:,.2f} {unit} hours",
        f"measured: {each:.3g} s a sample over {timing.samples:,} samples on {timing.device}, which were thrown away; "
        f"{timing.first_seconds:.1f} s for the first ones before them, loading included",
    ]
    if timing.drops:
        lost = ", ".join(f"{reason} {count:,}" for reason, count in sorted(timing.drops.items()))
        lines.append(f"of these could not be built: {lost}")
    return "\n".join(lines)


def _spread(plan: Plan, first: int, then: int) -> tuple[list[Record], list[Record]]:
    """`first` planned records to warm up with and `then` others, evenly spread; whole batches, however few."""
    records = [record for shard in plan.shards for record in shard.records]
    if len(records) < 2 * first:
        raise DataError(
            f"the plan has {len(records):,} samples, and a measurement needs {2 * first}: give a larger limit=, or "
            "leave probe=0"
        )
    chosen = min(then, (len(records) - first) // first * first)
    rest = records[first:]
    return records[:first], [rest[number * len(rest) // chosen] for number in range(chosen)]


def _make(builder: Builder, records: list[Record]) -> Counter[str]:
    return Counter(result.reason for result in make_all(builder, records) if isinstance(result, Drop))


def _device(config: BuildConfig) -> tuple[str, bool]:
    torch = sys.modules.get("torch")  # a builder that computes on a GPU has imported it by now
    if config.needs_gpu and torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name()), True
    return "one process of this machine's CPU" + (" (no GPU here)" if config.needs_gpu else ""), False
