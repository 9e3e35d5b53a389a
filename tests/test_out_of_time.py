"""`pytest --until`, which lets CI end in time on a slow machine."""

import subprocess
import sys
import time

from tests.conftest import OUT_OF_TIME
from tests.helpers.building import ROOT

QUICK = "tests/instructions/test_keywords.py"


def counts(seconds: float) -> str:
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", QUICK, f"--until={time.time() + seconds}"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout


def test_what_would_begin_too_late_is_skipped_counted_and_named() -> None:
    told = counts(-1)
    assert "passed" not in told
    assert f"tests {OUT_OF_TIME}" in told
    assert f"{QUICK}::" in told.split(OUT_OF_TIME)[1]


def test_in_time_everything_runs() -> None:
    told = counts(1000)
    assert "passed" in told
    assert OUT_OF_TIME not in told
