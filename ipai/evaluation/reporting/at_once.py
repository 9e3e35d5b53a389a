"""Running jobs that lead to further jobs, several at once."""

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass


@dataclass(frozen=True)
class Job:
    """Something to do.

    Attributes:
        name: By which others wait for it.
        do: Does it, and returns the jobs that it leads to.
        after: The name of the job that must have ended before, or None.
    """

    name: str
    do: Callable[[], "Iterable[Job]"]
    after: str | None = None


def run_all(jobs: Iterable[Job], at_once: int) -> None:
    """Run jobs and those they lead to, which go before what still waits, at most `at_once` of them in threads.

    The first error ends it as soon as the jobs that were running have ended.
    """
    waiting, running = list(jobs), dict[Future[list[Job]], Job]()
    with ThreadPoolExecutor(at_once) as pool:
        while waiting or running:
            unfinished = {job.name for job in (*waiting, *running.values())}
            for job in [job for job in waiting if job.after not in unfinished][: at_once - len(running)]:
                waiting.remove(job)
                running[pool.submit(_done, job)] = job
            for ended in wait(running, return_when=FIRST_COMPLETED).done:
                del running[ended]
                waiting[:0] = ended.result()


def _done(job: Job) -> list[Job]:
    return list(job.do())
