"""The real command: what it says, its exit codes, and that mistakes end without a traceback."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers.building import ROOT, environment, run_command

pytestmark = pytest.mark.slow

SCRIPT = str(ROOT / "scripts" / "make_toy_sources.py")


def words(output: Path, *more: str) -> list[str]:
    return [sys.executable, SCRIPT, f"output={output}", "samples=10", "size=16", *more]


def test_it_writes_once_and_says_so(tmp_path: Path) -> None:
    first = run_command(words(tmp_path / "toy"), tmp_path)
    assert first.returncode == 0, first.stderr
    assert "celeba, 10 pictures each" in first.stdout
    again = run_command(words(tmp_path / "toy"), tmp_path)
    assert again.returncode == 0
    assert "nothing to do" in again.stdout
    other = run_command(words(tmp_path / "toy", "seed=3"), tmp_path)
    assert other.returncode == 2
    assert "seed: 0 -> 3" in other.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["toy"], "Hydra left something behind"


def test_mistakes_end_with_2_and_no_traceback(tmp_path: Path) -> None:
    for mistake, message in {"samples=3": "samples=3", "sampels=20": "sampels", "+sampels=20": "samples"}.items():
        done = run_command(words(tmp_path / "toy", mistake), tmp_path)
        assert done.returncode == 2
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_help_lists_the_settings(tmp_path: Path) -> None:
    done = run_command([sys.executable, SCRIPT, "--help"], tmp_path)
    assert done.returncode == 0
    for needed in ("samples: 2000", "seed: 0", "size: 64", "output: data/toy/sources", "python scripts/"):
        assert needed in done.stdout


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    many = words(tmp_path / "toy", "samples=20000", "size=256")
    running = subprocess.Popen(many, env=environment(), stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not (tmp_path / ".toy.tmp" / "journeydb").exists() and time.monotonic() < until:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "nothing is left" in errors
    assert not list(tmp_path.iterdir())
