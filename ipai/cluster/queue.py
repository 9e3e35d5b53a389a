"""Slurm's queue, by run folder: each job carries its folder as its comment. sacct would need accounting."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class QueuedJob:
    """A job that waits or runs: Slurm's id, its state (PENDING, RUNNING...) and why it waits."""

    job_id: str
    state: str
    reason: str


def queued_jobs() -> dict[Path, QueuedJob] | None:
    """This user's jobs by run folder; None where there is no Slurm or it does not answer."""
    command = ["squeue", "--noheader", "--me", "--format=%i|%T|%r|%k"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    jobs = {}
    for line in answer.stdout.splitlines():
        job_id, state, reason, folder = line.split("|", 3)
        jobs[Path(folder)] = QueuedJob(job_id, state, reason)
    return jobs
