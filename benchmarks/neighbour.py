"""`neighbour`: training with one core in use by another process, by how long OpenMP's threads wait for each other.

The real `train.py` in a process of its own, and beside it one that counts. A thread that spins for one that does not
run holds up all of them; one that sleeps at once is late for the next piece of work.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

from benchmarks.options import Options
from benchmarks.ours import CONF, settings
from benchmarks.report import Report, Row
from benchmarks.timing import Times, Work, take_turns
from ipai.cli import SPINS
from ipai.errors import IpaiError

_WAITS = {
    "as libgomp has it": {"GOMP_SPINCOUNT": "300000"},  # where nothing is said
    "ours": {"GOMP_SPINCOUNT": SPINS},
    "passive": {"OMP_WAIT_POLICY": "passive"},
}
CONTESTANTS = {f"{name}, {where}": (name, where) for where in ("alone", "beside one") for name in _WAITS}
_STEPS = 3  # of which a repetition consists
_PATIENCE_S = 1800.0


def measure(options: Options, done: Callable[[], object]) -> Report:
    """Train with every way to wait, alone and beside a busy process, in turns."""
    words = [*settings(options), "base.dtype=bf16", "logger.every=1", "checkpoint.every=1000000000"]
    makers: dict[str, Callable[[], AbstractContextManager[Work]]] = {
        name: partial(_contestant, *CONTESTANTS[name], options.work / "neighbour", words)
        for name in options.chosen(list(CONTESTANTS))
    }
    times = take_turns(makers, options, done)
    return Report(
        "neighbour", options.quick, [_row(name, times) for name in times],
        facts={"batch size": options.batch_size, "cores": os.cpu_count()},
        notes=["Random weights. A fair share of two cores beside one busy process is 1.5 times as long."],
    )  # fmt: skip


@contextmanager
def _contestant(waiting: str, where: str, folder: Path, words: list[str]) -> Iterator[Work]:
    shutil.rmtree(folder, ignore_errors=True)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, str(CONF.parent / "train.py"), *words, f"run={folder}"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    training = subprocess.Popen(command, env=environment | _WAITS[waiting], **quiet)  # type: ignore[call-overload]
    busy = None
    try:
        _wait_for(1, folder, training)
        if where != "alone":
            busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        yield lambda: _wait_for(_steps(folder) + _STEPS, folder, training)
    finally:
        for process in (training, busy):
            if process is not None:
                process.kill()
                process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(steps: int, folder: Path, training: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while _steps(folder) < steps:
        if training.poll() is not None or time.monotonic() > deadline:
            raise IpaiError(f"train.py ended with {training.poll()}, or took longer than {_PATIENCE_S:.0f} s a step")
        time.sleep(0.01)


def _steps(folder: Path) -> int:
    """How many have left a whole line."""
    path = folder / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    return sum("loss/train" in json.loads(line) for line in lines if line.endswith("\n"))


def _row(name: str, times: dict[str, Times]) -> Row:
    own, first = times[name], times[next(iter(CONTESTANTS))]
    return {
        "threads wait": name,
        "s a step": own.wall / _STEPS,
        "fastest, slowest": f"{min(own.wall_s) / _STEPS:.3g}, {max(own.wall_s) / _STEPS:.3g}",
        "times the first": own.wall / first.wall,
        "steps": len(own.wall_s) * _STEPS,
    }
