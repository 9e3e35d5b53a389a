"""Where shards are built: in a pool of processes on this machine, on a Ray cluster, or in jobs of a Slurm cluster.

Each maps a pure function over jobs, so all give the same bytes. What a dead worker, a preempted job or a lost node had
in hand is done again; the rest is kept.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from data_builders.engine.executors.config import ExecutorConfig, RayExecutor, SlurmExecutor

Job = TypeVar("Job")
Result = TypeVar("Result")


def run_jobs(
    function: Callable[[Job], Result], jobs: Sequence[Job], config: ExecutorConfig, needs_gpu: bool
) -> Iterator[Result]:
    """Yield the results as they are ready, in any order. The first error stops the rest and is raised.

    Args:
        function: Pickles; it may be called twice for a job whose first worker was lost.
        jobs: Pickle.
        config: Which executor, and how it is used.
        needs_gpu: A worker needs a GPU of its own, where there is one.

    Raises:
        ConfigError: The executor's package is missing, or its cluster cannot be reached.
        DataError: A worker died again and again.
    """
    if not jobs:
        return iter(())
    if isinstance(config, RayExecutor):
        from data_builders.engine.executors.on_ray import run_on_ray

        return run_on_ray(function, jobs, config, needs_gpu)
    if isinstance(config, SlurmExecutor):
        from data_builders.engine.executors.on_slurm import run_on_slurm

        return run_on_slurm(function, jobs, config, needs_gpu)
    from data_builders.engine.executors.pool import run_in_pool

    return run_in_pool(function, jobs, config, needs_gpu)
