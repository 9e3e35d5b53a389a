"""The executor of this machine: this process, or a pool of them."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from data_builders.engine.executors.config import ExecutorConfig
from ipai.errors import DataError
from ipai.launch.forking import end_with_parent

Job = TypeVar("Job")
Result = TypeVar("Result")


def run_in_pool(
    function: Callable[[Job], Result], jobs: Sequence[Job], config: ExecutorConfig, needs_gpu: bool
) -> Iterator[Result]:
    """See `run_jobs`; raises DataError as soon as a worker process dies, which on one machine is seldom chance."""
    workers = min(config.workers or _places(needs_gpu), len(jobs))
    if workers <= 1:
        yield from map(function, jobs)
        return
    # Spawned, not forked: a fork copies the locks of every library's threads in whatever state they are.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare_worker)
    try:
        for future in as_completed([pool.submit(function, job) for job in jobs]):
            yield future.result()
    except BrokenProcessPool as error:
        raise DataError(
            "a worker process died, most often because memory ran out; finished shards are kept: repeat the command, "
            f"with fewer than executor.workers={workers} if it happens again"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _places(needs_gpu: bool) -> int:
    """How many workers this machine has room for."""
    if not needs_gpu:
        return os.cpu_count() or 1
    import torch

    return max(1, torch.cuda.device_count())


def _prepare_worker() -> None:
    """End this worker at Ctrl-C, and when its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    end_with_parent()
