"""What all runs below a folder are doing, read from their folders and from Slurm's queue."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from ipai.cluster.queue import QueuedJob, queued_jobs
from ipai.files import is_held
from ipai.records import RecordError, parsed, read_yaml
from ipai.runs import outcome

_TAIL_BYTES = 65_536  # of metrics.jsonl: far more than the lines between two validations at the default settings
_SCORES = ("loss/train", "validation/loss")


@dataclass(frozen=True)
class RunStatus:
    """One run.

    Attributes:
        name: The folder, relative to where the runs lie.
        state: waiting, running, finished, stopped or failed.
        why: The first line of the reason, where there is one.
        samples_seen, samples_total: How far it is.
        rate: Samples a second, over the last interval that was logged; None before the first.
        scores: The last value of each.
        job_id: In Slurm's queue; None if it has no job there.
    """

    name: str
    state: str
    why: str
    samples_seen: int
    samples_total: int
    rate: float | None
    scores: Mapping[str, float]
    job_id: str | None

    @property
    def remaining_s(self) -> float | None:
        """Seconds to the end at the last rate; None unless it runs."""
        if self.state != "running" or not self.rate:
            return None
        return (self.samples_total - self.samples_seen) / self.rate


@dataclass(frozen=True)
class _Length:
    """What `train` of a frozen configuration says of how long the run is."""

    steps: int
    batch_size: int


def survey(root: Path) -> list[RunStatus]:
    """Every run folder below `root`, by name; a run folder is one with a `config.yaml` that has `train`."""
    queue = queued_jobs() or {}
    found = []
    for path in sorted(root.glob("**/config.yaml")):
        if "code" in path.relative_to(root).parts or any(part.startswith(".") for part in path.relative_to(root).parts):
            continue
        folder, name = path.parent, str(path.parent.relative_to(root))
        try:
            config = read_yaml(path)
            if "train" in config:
                found.append(status_of(folder, name, config, queue.get(folder.resolve())))
        except (OSError, RecordError) as error:
            found.append(RunStatus(name, "damaged", f"config.yaml cannot be read ({error})", 0, 0, None, {}, None))
    return found


def status_of(folder: Path, name: str, config: dict[str, Any], job: QueuedJob | None) -> RunStatus:
    """What one run is doing."""
    last = _last_values(folder / "metrics.jsonl")
    length = parsed(json.dumps(config["train"]), _Length)
    total = length.steps * length.batch_size
    state, why = _state(folder, job, done=int(last.get("samples_seen", 0)) >= total)
    return RunStatus(
        name=name,
        state=state,
        why=why,
        samples_seen=int(last.get("samples_seen", 0)),
        samples_total=total,
        rate=last.get("speed/samples_per_s"),
        scores={key: last[key] for key in _SCORES if last.get(key) is not None},
        job_id=job.job_id if job else None,
    )


def table(runs: list[RunStatus], now: float) -> str:
    """The runs as lines of text, with counts below.

    Args:
        runs: What `survey` found.
        now: Seconds since the epoch.
    """
    header = ("run", "state", "samples", "rate/s", "done at", "loss", "val. loss", "job")
    rows = [header, *(_row(run, now) for run in runs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    notes = [f"{run.name}: {run.why}" for run in runs if run.why]
    counts = {state: sum(run.state == state for run in runs) for state in sorted({run.state for run in runs})}
    return "\n".join([*lines, "", *notes, ", ".join(f"{n} {state}" for state, n in counts.items()) or "no runs"])


def _state(folder: Path, job: QueuedJob | None, done: bool) -> tuple[str, str]:
    end = outcome.read(folder)
    if is_held(folder):
        return "running", ""
    if job is not None:
        running = job.state in ("RUNNING", "COMPLETING", "CONFIGURING")
        return ("running", "starting or ending") if running else ("waiting", f"in the queue: {job.reason}")
    if end is not None:
        return end.state, "" if end.state == "finished" else end.reason.splitlines()[0]
    if done:  # a run of before there were outcomes
        return "finished", ""
    return "failed", "ended without a word (killed, or its node was lost); the same command continues"


def _last_values(path: Path) -> dict[str, Any]:
    """The newest value of each metric among the last lines of `metrics.jsonl`."""
    values: dict[str, Any] = {}
    if path.exists():
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - _TAIL_BYTES, 0))
            lines = file.read().decode("utf-8", errors="replace").splitlines()
        for line in lines:
            try:
                values |= parsed(line, dict[str, float | None])
            except RecordError:  # the first may begin in its middle, the last may be half written
                continue
    return values


def _row(run: RunStatus, now: float) -> tuple[str, ...]:
    share = 100 * run.samples_seen / run.samples_total if run.samples_total else 0
    left = run.remaining_s
    return (
        run.name,
        run.state,
        f"{run.samples_seen:,} ({share:.0f} %)",
        f"{run.rate:.1f}" if run.rate is not None else "",
        f"{time.strftime('%d %b %H:%M', time.localtime(now + left))} ({timedelta(seconds=int(left))})" if left else "",
        *(f"{run.scores[key]:.4f}" if key in run.scores else "" for key in _SCORES),
        run.job_id or "",
    )
