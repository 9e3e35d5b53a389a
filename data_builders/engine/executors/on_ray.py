"""The executor of a Ray cluster: actors, which keep what they loaded from one shard to the next."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from data_builders.engine.executors.config import RayExecutor
from ipai.errors import ConfigError, DataError
from ipai.extras import to_install

Job = TypeVar("Job")
Result = TypeVar("Result")


def run_on_ray(
    function: Callable[[Job], Result], jobs: Sequence[Job], config: RayExecutor, needs_gpu: bool
) -> Iterator[Result]:
    """See `run_jobs`. Ray starts a dead actor again and gives it its shard back, `config.retries` times a shard."""
    ray = _imported()
    own = not ray.is_initialized()
    try:
        ray.init(
            address=config.address, ignore_reinit_error=True, include_dashboard=False, log_to_driver=False,
            logging_level=logging.ERROR,
        )  # fmt: skip
    except (ConnectionError, ValueError, TimeoutError) as error:
        raise ConfigError(f"executor.address={config.address or '$RAY_ADDRESS'} cannot be reached: {error}") from error
    try:
        yield from _results(ray, function, jobs, config, needs_gpu)
    finally:
        if own:
            ray.shutdown()


def _results(ray: Any, function: Any, jobs: Sequence[Any], config: RayExecutor, needs_gpu: bool) -> Iterator[Any]:
    has = ray.cluster_resources()
    gpus = config.gpus if config.gpus is not None else float(needs_gpu and has.get("GPU", 0) >= 1)
    count = min(config.workers or _places(has, config.cpus, gpus), len(jobs))
    actor = ray.remote(num_cpus=config.cpus, num_gpus=gpus, max_restarts=-1, max_task_retries=config.retries)(_Worker)
    shared = ray.put(function)
    workers = [actor.remote(shared) for _ in range(count)]
    waiting = list(reversed(jobs))
    running = {worker.run.remote(waiting.pop()): worker for worker in workers}
    while running:
        (ready,), _ = ray.wait(list(running), num_returns=1)
        worker = running.pop(ready)
        if waiting:
            running[worker.run.remote(waiting.pop())] = worker
        try:
            yield ray.get(ready)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None  # as a pool raises it
        except ray.exceptions.RayActorError as error:
            raise DataError(
                f"a worker died {config.retries + 1} times at the same shard, most often because memory ran out; "
                "finished shards are kept: repeat the command, with more executor.cpus or fewer executor.workers"
            ) from error


class _Worker:
    """One actor."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function

    def run(self, job: Any) -> Any:
        """Do one job."""
        return self._function(job)


def _places(has: dict[str, float], cpus: float, gpus: float) -> int:
    """How many actors the cluster has room for; raises ConfigError if it has none."""
    wanted = {"CPU": cpus, "GPU": gpus}
    places = min((math.floor(has.get(name, 0) / each) for name, each in wanted.items() if each), default=1)
    if places < 1:
        raise ConfigError(
            f"the Ray cluster has {has.get('CPU', 0):g} CPUs and {has.get('GPU', 0):g} GPUs, too few for one worker of "
            f"executor.cpus={cpus:g} and executor.gpus={gpus:g}"
        )
    return places


def _imported() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ConfigError(f"executor=ray needs the package ray: {to_install('ray')}") from error
    return ray
