"""Running jobs that lead to further jobs, several at once."""

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """Something to do.

    Attributes:
        name: By which others wait for it.
        do: Does it, and returns the jobs that it leads to.
        after: The name of the job that must have ended before, or None.
    """

    name: str
    do: Callable[[], "list[Job]"]
    after: str | None = None


def run_all(jobs: Iterable[Job], at_once: int) -> None:
    """Run jobs and those they lead to, which go before what still waits, at most `at_once` of them in threads.

    After an error nothing further starts. It is raised once the jobs that were running have ended; theirs are logged.
    """
    waiting, running = list(jobs), dict[Future[list[Job]], Job]()
    failed: list[Exception] = []
    with ThreadPoolExecutor(at_once) as pool:
        while running or (waiting and not failed):
            unfinished = {job.name for job in (*waiting, *running.values())}
            ready = [] if failed else [job for job in waiting if job.after not in unfinished]
            for job in ready[: at_once - len(running)]:
                waiting.remove(job)
                running[pool.submit(job.do)] = job
            for ended in wait(running, return_when=FIRST_COMPLETED).done:
                del running[ended]
                if isinstance(error := ended.exception(), Exception):
                    failed.append(error)
                    log.error("%s; nothing further starts, %d still run", error, len(running))
                else:
                    waiting[:0] = ended.result()
    if failed:
        raise failed[0]
