"""The executor of a Slurm cluster: job arrays, through submitit."""

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from data_builders.engine.executors.config import SlurmExecutor
from ipai.errors import ConfigError, DataError, IpaiError
from ipai.extras import to_install

Job = TypeVar("Job")
Result = TypeVar("Result")


def run_on_slurm(
    function: Callable[[Job], Result], jobs: Sequence[Job], config: SlurmExecutor, needs_gpu: bool
) -> Iterator[Result]:
    """See `run_jobs`. A preempted job is queued again by Slurm; a lost one is submitted again from here."""
    submitit = _imported()
    try:
        executor = submitit.AutoExecutor(folder=Path(config.folder).expanduser(), cluster="slurm")
    except RuntimeError as error:
        raise ConfigError(f"executor=slurm needs a Slurm cluster, and there is no sbatch here: {error}") from error
    executor.update_parameters(**_parameters(config, needs_gpu))
    each = config.shards_per_job
    chunks = [_Chunk(function, jobs[start : start + each]) for start in range(0, len(jobs), each)]
    running = dict(zip(executor.submit_array(chunks), chunks, strict=True))
    losses: Counter[int] = Counter()
    suspects: set[str] = set()
    try:
        while running:
            # Looked up before the results are: a job that ends in between has a result.
            queued = _queued_ids()
            gone = {job.job_id for job in running if queued is not None and job.job_id not in queued}
            for job in [job for job in running if job.paths.result_pickle.exists()]:
                del running[job]
                yield from _unwrapped(job.result())
            # A shared file system may show a result late, so that a job is lost only at the second look.
            for job in [job for job in running if job.job_id in gone & suspects]:
                chunk = running.pop(job)
                losses[id(chunk)] += 1
                if losses[id(chunk)] > config.retries:
                    raise DataError(
                        f"a Slurm job was lost {losses[id(chunk)]} times, last {job.job_id}; see its logs in "
                        f"{config.folder}. Finished shards are kept: mend it and repeat the command"
                    )
                running[executor.submit(chunk)] = chunk
            suspects = gone
            if running:
                time.sleep(config.poll_seconds)
    finally:
        for job in running:
            job.cancel(check=False)


def _queued_ids() -> set[str] | None:
    """Ids of this user's jobs that wait or run; None where Slurm does not answer. sacct would need accounting."""
    command = ["squeue", "--noheader", "--me", "--array", "--format=%i"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if answer.returncode else set(answer.stdout.split())


class _Chunk:
    """Some jobs in one Slurm job. An error that says what to do is a result, so that it arrives as it was raised."""

    def __init__(self, function: Callable[[Any], Any], jobs: Sequence[Any]) -> None:
        self.function, self.jobs = function, jobs

    def __call__(self) -> list[Any]:
        results: list[Any] = []
        for job in self.jobs:
            try:
                results.append(self.function(job))
            except IpaiError as error:
                return [*results, error]
        return results

    def checkpoint(self) -> Any:
        """What Slurm is to run when it takes this job's node away: the same; finished shards are found finished."""
        return _imported().helpers.DelayedSubmission(self)


def _unwrapped(results: list[Any]) -> Iterator[Any]:
    for result in results:
        if isinstance(result, IpaiError):
            raise result
        yield result


def _parameters(config: SlurmExecutor, needs_gpu: bool) -> dict[str, Any]:
    gpus = int(needs_gpu) if config.gpus is None else config.gpus
    wanted: dict[str, Any] = {
        "name": "ipai-build",
        "nodes": 1,
        "tasks_per_node": 1,
        "cpus_per_task": config.cpus,
        "timeout_min": config.minutes,
        "mem_gb": config.memory_gb,
        "gpus_per_node": gpus or None,
        "slurm_partition": config.partition,
        "slurm_account": config.account,
        "slurm_array_parallelism": config.workers,
    }
    return {key: value for key, value in wanted.items() if value is not None}


def _imported() -> Any:
    try:
        import submitit
        import submitit.helpers
    except ImportError as error:
        raise ConfigError(f"executor=slurm needs the package submitit: {to_install('slurm')}") from error
    return submitit
