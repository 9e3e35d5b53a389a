"""Contestants take turns, so that whatever else the machine does slows all of them alike."""

import ctypes
import gc
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from benchmarks.options import Options

Work = Callable[[], object]


@dataclass
class Times:
    """Repeated measurements of one contestant.

    Attributes:
        wall_s: Seconds by the clock of each repetition.
        cpu_s: Seconds of this process's threads; steadier where other processes share the cores.
        first_s: Seconds of the first repetition of each round, which warms up and is in none of the other lists.
        peak_gib: The largest memory: of the GPU if there is one, else resident.
    """

    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    first_s: list[float] = field(default_factory=list)
    peak_gib: float = 0.0

    @property
    def wall(self) -> float:
        """Median seconds by the clock."""
        return statistics.median(self.wall_s)

    @property
    def cpu(self) -> float:
        """Median seconds of processor time."""
        return statistics.median(self.cpu_s)

    def add(self, wall: float, cpu: float) -> None:
        """One repetition more."""
        self.wall_s.append(wall)
        self.cpu_s.append(cpu)


def take_turns(
    contestants: Mapping[str, Callable[[], AbstractContextManager[Work]]],
    options: Options,
    done: Callable[[], object],
) -> dict[str, Times]:
    """Let every contestant work in each round: make it, let it work once unmeasured, then measure, and free it.

    Only one is in memory at a time. The order turns by one from round to round.

    Args:
        contestants: Name -> what makes the work that is timed.
        options: Say how often each is made, and the measured repetitions in each round.
        done: Called after each repetition.
    """
    times = {name: Times() for name in contestants}
    names = list(contestants)
    for number in range(options.rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            _one_turn(contestants[name], times[name], options.repeats, done)
    return times


def _one_turn(
    make: Callable[[], AbstractContextManager[Work]], times: Times, repeats: int, done: Callable[[], object]
) -> None:
    _forget_peak()
    with make() as work:
        times.first_s.append(timed(work)[0])
        done()
        for _ in range(repeats):
            times.add(*timed(work))
            done()
    times.peak_gib = max(times.peak_gib, _peak_bytes() / 2**30)
    del work
    _free()


def timed(work: Work) -> tuple[float, float]:
    """Seconds by the clock and of processor time that `work` takes; waits for a GPU to finish."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - wall, time.process_time() - cpu


def _free() -> None:
    """Give memory back to the system, so that the next contestant's peak is its own."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif Path("/proc/self/clear_refs").exists():
        ctypes.CDLL(None).malloc_trim(0)


def _forget_peak() -> None:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    elif (peak := Path("/proc/self/clear_refs")).exists():
        peak.write_text("5")  # Linux: the peak becomes the present size


def _peak_bytes() -> int:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)
