"""Running a function over the shards, in this process or in a pool of processes on this machine."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import TypeVar

from data_builders.engine.config import ExecutorConfig
from ipai.errors import DataError

Job = TypeVar("Job")
Result = TypeVar("Result")


def run_jobs(function: Callable[[Job], Result], jobs: Sequence[Job], config: ExecutorConfig) -> Iterator[Result]:
    """Yield the results as they are ready, in any order. The first error stops the rest and is raised.

    Raises:
        DataError: A worker process died.
    """
    workers = min(config.workers or os.cpu_count() or 1, len(jobs))
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


def _prepare_worker() -> None:
    """End this worker at Ctrl-C, and when its parent is gone: a killed parent cannot tell it to, and it would stay."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
