"""What tests/conftest.py decides of a run of tests: how many processes it has, and when none begins any more."""

import subprocess
import sys
import time

import pytest

from tests import conftest
from tests.conftest import OUT_OF_TIME, pytest_xdist_auto_num_workers
from tests.helpers.building import ROOT

QUICK = "tests/instructions/test_keywords.py"


def told(seconds: float, code: int) -> str:
    """What is printed where no test may begin after so many seconds, by several processes as in CI."""
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", QUICK]
    words += ["--until", str(time.time() + seconds)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == code, done.stdout
    return done.stdout


def test_what_would_begin_too_late_is_skipped_and_named_and_all_of_it_is_a_failure() -> None:
    late = told(-1, code=1)
    assert "passed" not in late
    assert f"{QUICK}::" in late.partition(f"tests {OUT_OF_TIME}: ")[2]


def test_in_time_everything_runs() -> None:
    in_time = told(1000, code=0)
    assert "passed" in in_time
    assert OUT_OF_TIME not in in_time


@pytest.mark.parametrize(
    ("cores", "gibibytes", "processes"), [(2, 24, 2), (16, 128, 4), (8, 8, 2), (1, 64, 1), (8, 2, 1)]
)
def test_processes_follow_cores_and_memory(
    cores: int, gibibytes: int, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_XDIST_AUTO_NUM_WORKERS", raising=False)
    monkeypatch.setattr(conftest, "usable_cores", lambda: cores)
    monkeypatch.setattr(conftest, "_memory", lambda: gibibytes * 2**30)
    assert pytest_xdist_auto_num_workers() == processes
    monkeypatch.setenv("PYTEST_XDIST_AUTO_NUM_WORKERS", "3")
    assert pytest_xdist_auto_num_workers() == 3
