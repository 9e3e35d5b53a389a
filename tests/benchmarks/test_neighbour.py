"""Waiting for a training that another process runs."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.neighbour import _steps, _wait_for
from ipai.errors import IpaiError


def test_only_whole_lines_of_training_count(tmp_path: Path) -> None:
    assert _steps(tmp_path) == 0
    (tmp_path / "metrics.jsonl").write_text('{"loss/train": 1}\n{"validation/loss": 1}\n{"loss/train": 1}\n{"loss/tr')
    assert _steps(tmp_path) == 2


def test_a_training_that_ends_is_told_of(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"]) as ended:
        ended.wait()
        with pytest.raises(IpaiError, match="ended with 3"):
            _wait_for(1, tmp_path, ended)
        (tmp_path / "metrics.jsonl").write_text('{"loss/train": 1}\n')
        _wait_for(1, tmp_path, ended)
