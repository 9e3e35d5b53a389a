"""`launch=slurm`: freeze a run, submit it as a job through submitit, return."""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipai.cluster.job import TrainingJob
from ipai.cluster.naming import Point
from ipai.cluster.queue import queued_jobs
from ipai.cluster.snapshot import freeze_code
from ipai.errors import ConfigError
from ipai.extras import to_install
from ipai.launch.config import LaunchConfig
from ipai.runs import outcome
from ipai.runs.run_folder import folder_of, freeze_config, locked

# A run may reach its time limit any number of times; submitit's own count, which we do not use, must not end it.
_NO_LIMIT = 1_000_000


@dataclass(frozen=True)
class Submission:
    """What became of a point: its run folder, its job (None if none was needed), and that in words."""

    folder: Path
    job_id: str | None
    words: str


def submit(point: Point) -> Submission:
    """Freeze code and configuration into the run folder and hand the run to Slurm.

    A run that is in the queue already or has finished is left alone.

    Raises:
        ConfigError: There is no Slurm here, or the run was started with another configuration.
        CheckpointError: A process trains in the folder.
    """
    config, folder = point.config, folder_of(point.config).resolve()
    if ":" in str(folder):
        raise ConfigError(
            f"the run folder {folder} has a colon in its path, which ends a path in PYTHONPATH, so that other code "
            "than the frozen one would run; choose another run= or runs_root="
        )
    submitit = _imported()
    queued = queued_jobs()
    if queued is None:
        raise ConfigError("launch=slurm needs a Slurm cluster, and squeue does not answer here")
    if folder in queued:
        job = queued[folder]
        return Submission(folder, job.job_id, f"job {job.job_id} is {job.state.lower()} already")
    if config.dry_run:
        return Submission(
            folder, None, f"would be submitted: {config.launch.nodes} nodes x {_processes(config.launch)}"
        )
    with locked(folder):
        end = outcome.read(folder)
        if end is not None and end.state == "finished":
            return Submission(folder, None, "is finished already")
        freeze_config(folder, config)
        code = freeze_code(folder)
        outcome.forget(folder)
        (folder / "job" / "crashes.jsonl").unlink(missing_ok=True)
    try:
        executor = submitit.SlurmExecutor(folder=folder / "job", max_num_timeout=_NO_LIMIT)
    except RuntimeError as error:
        raise ConfigError(f"launch=slurm needs a Slurm cluster, and there is no srun here: {error}") from error
    executor.update_parameters(**parameters(config.launch, folder, code))
    job = executor.submit(TrainingJob(str(code / "train.py"), point.overrides, _processes(config.launch)))
    return Submission(folder, str(job.job_id), f"job {job.job_id}")


def parameters(launch: LaunchConfig, folder: Path, code: Path) -> dict[str, Any]:
    """What submitit writes into the job's script. One task a node: it starts that node's processes.

    With its own launcher on each node, a signal or a crash ends the job's processes within seconds and with the exit
    code that says what happened; `srun --kill-on-bad-exit` then ends the other nodes.
    """
    processes = _processes(launch)
    cpus = launch.cpus_per_process and launch.cpus_per_process * processes
    wanted: dict[str, Any] = {
        "job_name": f"ipai-{folder.name}",
        "comment": str(folder),
        "nodes": launch.nodes,
        "ntasks_per_node": 1,
        "cpus_per_task": cpus,
        "gpus_per_node": launch.gpus_per_node,
        "mem": None if launch.memory_gb is None else f"{int(launch.memory_gb * 1024)}MB",
        "time": launch.minutes,
        "partition": launch.partition,
        "account": launch.account,
        "signal_delay_s": launch.grace_seconds,
        "setup": [
            *launch.setup,
            f"export PYTHONPATH={shlex.quote(str(code))}${{PYTHONPATH:+:$PYTHONPATH}}",
            "export PYTHONSAFEPATH=1",  # or the working folder, the edited checkout, would come first
        ],
        "srun_args": ["--kill-on-bad-exit=1", *([f"--cpus-per-task={cpus}"] if cpus else [])],
        "teardown": [
            "code=$?",
            f"exec {shlex.quote(sys.executable)} -m ipai.cluster.job {shlex.quote(str(folder))} $code $SLURM_JOB_ID "
            f"{launch.retries}",
        ],
        "additional_parameters": {"requeue": True, **launch.sbatch},
    }
    return {key: value for key, value in wanted.items() if value is not None}


def _processes(launch: LaunchConfig) -> int:
    return launch.processes_per_node or 1


def _imported() -> Any:
    try:
        import submitit
    except ImportError as error:
        raise ConfigError(f"launch=slurm needs the package submitit: {to_install('slurm')}") from error
    return submitit
