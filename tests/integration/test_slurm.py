"""A sweep on a real Slurm: one point is preempted, one killed, the working tree is edited, and nothing is lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ipai.cluster.queue import queued_jobs
from ipai.runs import outcome
from tests.integration.conftest import REPOSITORY, environment, fingerprint, run, training_command

_SECONDS = 300


def sweep(shards: Path, runs: Path, *overrides: str) -> list[str]:
    script, *words = training_command(shards, runs, "train.seed=0,1,2", f"runs_root={runs}", "train.steps=16")
    kept = [word for word in words if not word.startswith("run=") and word != "train.steps=24"]
    return [script, "-m", *kept, *overrides]


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + _SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.1)


def checkout(folder: Path) -> Path:
    """A copy of what training needs, to be edited."""
    for part in ("conf", "ipai"):
        shutil.copytree(REPOSITORY / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(REPOSITORY / "train.py", folder / "train.py")
    return folder


def processes_of(folder: Path) -> list[int]:
    """The processes that train in a run folder."""
    found = subprocess.run(["pgrep", "-f", f"{folder}/code/train.py"], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


@pytest.mark.ci
@pytest.mark.faults
def test_a_sweep_survives_preemption_a_kill_and_edits(shards: Path, tmp_path: Path, slurm: None) -> None:
    here, runs = checkout(tmp_path / "checkout"), tmp_path / "runs"
    words = sweep(
        shards, runs, "launch=slurm", "launch.gpus_per_node=null", "launch.cpus_per_process=1",
        "+launch.sbatch.hold=true",
    )  # fmt: skip

    def submit() -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, *words], cwd=here, env=environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done

    submit()
    folders = [runs / f"single_object-smoke-seed-{seed}" for seed in range(3)]
    assert submit().stdout.count("is pending already") == 3
    (here / "ipai" / "training" / "loop.py").write_text("raise SystemExit('edited while the jobs waited')\n")
    jobs = {folder: job.job_id for folder, job in (queued_jobs() or {}).items()}
    assert sorted(jobs) == folders
    subprocess.run(["scontrol", "release", ",".join(jobs.values())], check=True)

    preempted, killed, _ = folders
    until(lambda: (preempted / "checkpoints" / "latest").exists(), "the first checkpoint of the one to be preempted")
    subprocess.run(["scontrol", "requeue", jobs[preempted]], check=True)
    until(lambda: (killed / "checkpoints" / "latest").exists(), "the first checkpoint of the one to be killed")
    for pid in processes_of(killed):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not queued_jobs(), "an empty queue")

    for folder in folders:
        end = outcome.read(folder)
        logs = "".join(path.read_text() for path in (folder / "job").glob("*.err"))
        assert end is not None, logs
        assert end.state == "finished", logs
    log = (preempted / "job" / f"{jobs[preempted]}_0_log.out").read_text()
    assert log.count("Loading pickle") == 2
    crashes = (killed / "job" / "crashes.jsonl").read_text().splitlines()
    assert [json.loads(line)["code"] for line in crashes] == [128 + signal.SIGKILL]

    result = run(*sweep(shards, tmp_path / "undisturbed"))
    assert result.returncode == 0, result.stdout
    for folder in folders:
        final = Path("checkpoints") / "step-00000016"
        assert fingerprint(folder / final) == fingerprint(tmp_path / "undisturbed" / folder.name / final)
