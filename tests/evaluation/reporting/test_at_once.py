"""Jobs that lead to jobs: each is done once, after the one it waits for, and never more at once than allowed."""

import threading
import time
from collections.abc import Callable

import pytest

from ipai.evaluation.reporting.at_once import Job, run_all


def _says(into: list[str], name: str, *leads_to: str) -> Callable[[], list[Job]]:
    def do() -> list[Job]:
        into.append(name)
        return [Job(further, _says(into, further)) for further in leads_to]

    return do


def test_one_at_a_time_follows_what_a_job_leads_to_before_the_next() -> None:
    said: list[str] = []
    run_all([Job("a", _says(said, "a", "a1", "a2")), Job("b", _says(said, "b", "b1"))], 1)
    assert said == ["a", "a1", "a2", "b", "b1"]


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_a_job_waits_for_the_one_that_it_goes_on_from(at_once: int) -> None:
    said: list[str] = []

    def slow() -> list[Job]:
        time.sleep(0.05)
        return _says(said, "first")()

    run_all([Job("second", _says(said, "second"), after="first"), Job("first", slow)], at_once)
    assert said == ["first", "second"]


def test_never_more_at_once_than_allowed_and_as_many() -> None:
    met, lock, busy, most = threading.Barrier(3, timeout=20), threading.Lock(), 0, 0

    def do() -> list[Job]:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        met.wait()
        with lock:
            busy -= 1
        return []

    run_all([Job(str(number), do) for number in range(6)], 3)
    assert most == 3


def test_an_error_ends_it_and_nothing_further_starts() -> None:
    said: list[str] = []

    def fail() -> list[Job]:
        raise ValueError("no")

    def slow() -> list[Job]:
        time.sleep(0.1)
        return _says(said, "beside", "further")()

    with pytest.raises(ValueError, match="no"):
        run_all([Job("bad", fail), Job("beside", slow), Job("next", _says(said, "next"))], 2)
    assert said == ["beside"]
