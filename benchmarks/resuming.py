"""`resume`: from the command to the first trained step, at the start of a run, at sample 10 and at sample 10 million.

The real `train.py` in a process of its own. The run at sample 10 million was not trained that long: its checkpoint
holds the weights and optimizer state of the first step under a later sample count, which is all that its start can see.
"""

import json
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
from ipai.errors import IpaiError
from ipai.runs import checkpoint
from ipai.runs.checkpoint import ADAPTER, OPTIMIZER, Progress

_PATIENCE_S = 1800.0
CONTESTANTS = {"a new run": None, "at sample 10": 10, "at sample 10 million": 10_000_000}


def measure(options: Options, done: Callable[[], object]) -> Report:
    """Start training from each place in turns, up to the first step's line in `metrics.jsonl`."""
    words = [*settings(options), "base.dtype=bf16", "logger.every=1"]
    donor = _donor(options, words)
    makers: dict[str, Callable[[], AbstractContextManager[Work]]] = {
        name: partial(_contestant, name, options, words, donor) for name in options.chosen(list(CONTESTANTS))
    }
    times = take_turns(makers, options, done)
    return Report(
        "resume", options.quick, [_row(name, times) for name in times],
        facts={"batch size": options.batch_size},
        notes=["Random weights. Imports, base, encoded instructions (kept from an earlier start), data and one step."],
    )  # fmt: skip


@contextmanager
def _contestant(name: str, options: Options, words: list[str], donor: Path) -> Iterator[Work]:
    folder, samples = options.work / "resume" / "run", CONTESTANTS[name]
    command = [*words, f"run={folder}", "checkpoint.every=1000000000"]
    shutil.rmtree(folder, ignore_errors=True)
    if samples is not None:
        _plant(donor, folder, samples, options.batch_size)

    def start() -> None:
        if samples is None:
            shutil.rmtree(folder, ignore_errors=True)
        (folder / "metrics.jsonl").unlink(missing_ok=True)  # of the start before this one
        _until(command, lambda: _seen(folder) > (samples or 0))

    try:
        yield start
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _donor(options: Options, words: list[str]) -> Path:
    """The checkpoint of a run of one step."""
    folder = options.work / "resume" / "donor"
    shutil.rmtree(folder, ignore_errors=True)
    saved = folder / "checkpoints" / "step-00000001"
    _until([*words, f"run={folder}", "checkpoint.every=1"], saved.exists)
    return saved


def _plant(donor: Path, folder: Path, samples: int, batch_size: int) -> None:
    """The donor's state in another run folder, as if `samples` had been seen."""
    progress = Progress(step=samples // batch_size, samples_seen=samples // batch_size * batch_size)
    writers: dict[str, Callable[[Path], None]] = {name: partial(_copy, donor / name) for name in (ADAPTER, OPTIMIZER)}
    checkpoint.save(folder / "checkpoints", progress, writers, keep=1)


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


def _until(words: list[str], reached: Callable[[], bool]) -> None:
    """Run `train.py` until something is reached, then kill it.

    Raises:
        IpaiError: It ended before, or takes longer than half an hour.
    """
    command = [sys.executable, str(CONF.parent / "train.py"), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        deadline = time.monotonic() + _PATIENCE_S
        while not reached():
            if process.poll() is not None and not reached():
                raise IpaiError(f"train.py ended with {process.returncode}: {(process.communicate()[0] or '')[-2000:]}")
            if time.monotonic() > deadline:
                process.kill()
                raise IpaiError(f"train.py took longer than {_PATIENCE_S:.0f} s to its first step")
            time.sleep(0.01)
        process.kill()


def _seen(folder: Path) -> int:
    """The sample count of the newest whole line about training."""
    path = folder / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    whole = [json.loads(line) for line in lines if line.endswith("\n")]
    return max((line["samples_seen"] for line in whole if "loss/train" in line), default=0)


def _row(name: str, times: dict[str, Times]) -> Row:
    own, late = times[name], times.get("at sample 10")
    return {
        "start": name,
        "s to the first step": own.wall,
        "fastest, slowest": f"{min(own.wall_s):.3g}, {max(own.wall_s):.3g}",
        "times that at sample 10": own.wall / late.wall if late is not None else None,
        "starts": len(own.wall_s),
    }
