"""What a run says of itself: facts once at the start, and its speed while it goes."""

import logging
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from ipai.training.batching import Batching

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunFacts:
    """Numbers that do not change during a run; `ceiling` is the measured FLOP/s of one process's device."""

    trainable_parameters: int
    frozen_parameters: int
    flops_per_sample: int
    ceiling: float
    batching: Batching

    def lines(self) -> list[str]:
        """The facts in words, one a line."""
        return [
            f"trainable parameters {self.trainable_parameters:,}, frozen {self.frozen_parameters:,}",
            str(self.batching),
            f"{self.flops_per_sample / 1e9:,.1f} GFLOP a sample in denoiser and adapter, forward and backward",
            f"measured matmul ceiling {self.ceiling / 1e12:,.3f} TFLOP/s a process",
        ]


class Speedometer:
    """Samples a second, share of time spent waiting for data, model FLOP utilisation and peak memory.

    Validation and checkpoints are left out of the time. It only reads the clock, so it never waits for the device.
    """

    def __init__(self, facts: RunFacts, device: torch.device) -> None:
        self.facts = facts
        self.device = device
        self._waited_s = self._paused_s = 0.0

    def start(self, samples_seen: int) -> None:
        """Begin an interval."""
        self._began, self._samples = time.perf_counter(), samples_seen
        self._waited_s = self._paused_s = 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Time spent in here is waiting for data."""
        began = time.perf_counter()
        yield
        self._waited_s += time.perf_counter() - began

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Time spent in here is not training."""
        began = time.perf_counter()
        yield
        self._paused_s += time.perf_counter() - began

    def read(self, samples_seen: int) -> dict[str, float]:
        """The numbers since the last read; begins the next interval."""
        elapsed = max(time.perf_counter() - self._began - self._paused_s, 1e-9)
        rate = (samples_seen - self._samples) / elapsed
        values = {
            "speed/samples_per_s": rate,
            "speed/data_wait_share": self._waited_s / elapsed,
            "speed/mfu": rate * self.facts.flops_per_sample / (self.facts.ceiling * self.facts.batching.processes),
            "speed/peak_memory_gib": _peak_memory(self.device) / 2**30,
        }
        self.start(samples_seen)
        return values


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
