"""What a Slurm job of a run does: `TrainingJob` on each node, then `settle` once on the first."""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from ipai.files import write_text
from ipai.launch.processes import Meeting, run_processes
from ipai.launch.signals import TIME_LIMIT_CODES, exit_code
from ipai.records import read_json_lines
from ipai.runs import outcome
from ipai.runs.step_folders import step_folders

MISUSE = 2
_STOPPED = exit_code(15)


@dataclass(frozen=True)
class TrainingJob:
    """Runs on each node of the job and starts its share of the processes; submitit pickles it.

    Attributes:
        script: The frozen `train.py`.
        overrides: The words of the command.
        processes: On each node.
    """

    script: str
    overrides: tuple[str, ...]
    processes: int

    def __call__(self) -> None:
        """Train; leaves with the exit code of the first process that failed."""
        from submitit import JobEnvironment

        job = JobEnvironment()
        # Another port after each requeue: the old one may still be taken.
        port = 20_000 + (int(job.raw_job_id) * 7 + int(os.environ.get("SLURM_RESTART_COUNT", 0))) % 10_000
        meeting = Meeting(job.hostnames[0], port, job.node, job.num_nodes)
        code = run_processes(list(self.overrides), self.processes, [self.script], meeting)
        if code:
            sys.exit(code)


@dataclass(frozen=True)
class _Crash:
    step: int
    code: int
    job_id: str
    time: float


def settle(folder: Path, code: int, job_id: str, retries: int) -> str:
    """Decide what becomes of a job whose processes have ended; returns it in words.

    A run that saved itself before the time limit goes back into the queue. So does one that crashed, unless it
    crashed more than `retries` times in a row without a newer checkpoint, or said itself that it cannot work.
    """
    if code == 0:
        return "finished"
    if code in TIME_LIMIT_CODES:
        return _requeue(job_id, "the time limit comes")
    if code == _STOPPED:
        return "stopped by SIGTERM; the same command continues"
    log = f"see {folder / 'job'}/{job_id}_*_log.err"
    if code == MISUSE:
        outcome.record(folder, "failed", f"train.py refused to start (exit code {code}); {log}")
        return "failed: " + _first_line(folder)
    crashes = [*_crashes(folder), _Crash(_newest_step(folder), code, job_id, time.time())]
    write_text(folder / "job" / "crashes.jsonl", "".join(json.dumps(asdict(crash)) + "\n" for crash in crashes))
    here = sum(crash.step == crashes[-1].step for crash in crashes)
    if here <= retries:
        return _requeue(job_id, f"crash {here} at step {crashes[-1].step} (exit code {code})")
    outcome.record(folder, "failed", f"crashed {here} times at step {crashes[-1].step}, last with code {code}; {log}")
    return "failed: " + _first_line(folder)


def _requeue(job_id: str, why: str) -> str:
    subprocess.run(["scontrol", "requeue", job_id], check=True)
    return f"queued again: {why}"


def _crashes(folder: Path) -> list[_Crash]:
    path = folder / "job" / "crashes.jsonl"
    return list(read_json_lines(path, _Crash)) if path.exists() else []


def _newest_step(folder: Path) -> int:
    return max(step_folders(folder / "checkpoints"), default=0)


def _first_line(folder: Path) -> str:
    end = outcome.read(folder)
    return end.reason.splitlines()[0] if end else "without a word"


if __name__ == "__main__":  # the last line of the job's script: folder, exit code, job id, retries
    _folder, _code, _job_id, _retries = sys.argv[1:]
    print(settle(Path(_folder), int(_code), _job_id, int(_retries)))  # noqa: T201
    sys.exit(int(_code))
