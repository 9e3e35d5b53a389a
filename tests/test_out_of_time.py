"""`pytest --until`, which lets CI end in time on a slow machine."""

import subprocess
import sys
import time

from tests.conftest import OUT_OF_TIME
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
