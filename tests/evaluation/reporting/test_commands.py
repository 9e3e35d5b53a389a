"""Commands beside each other: a log for each, the cores shared, and no orphan when what started them is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ipai.evaluation.reporting.commands import logging_command, run_command
from ipai.launch.processes import usable_cores

SAYS = "import os, sys; print('said', os.environ['OMP_NUM_THREADS']); sys.exit(int(sys.argv[1]))"


def test_each_writes_a_log_and_its_code_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    run = logging_command(tmp_path / "logs", usable_cores())
    assert [run(["-c", SAYS, "0"]), run(["-c", SAYS, "3"])] == [0, 3]
    assert [path.read_text() for path in sorted((tmp_path / "logs").iterdir())] == ["said 1\n"] * 2
    told = capsys.readouterr().err
    assert "000.log: done after" in told
    assert f"001.log: ended with 3, see {tmp_path}/logs/001.log" in told
    logging_command(tmp_path / "logs", 1)(["-c", SAYS, "0"])
    assert (tmp_path / "logs" / "002.log").read_text() == f"said {usable_cores()}\n", "numbered on"


def test_one_alone_says_what_it_runs(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_command(["-c", "print('here')"]) == 0
    assert capfd.readouterr() == ("here\n", "python -c print('here')\n")


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for it")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_parent_leaves_no_orphan(tmp_path: Path, number: int) -> None:
    child = f"import os, time, pathlib; pathlib.Path('{tmp_path}/pid').write_text(str(os.getpid())); time.sleep(60)"
    parent = (
        "from concurrent.futures import ThreadPoolExecutor; from pathlib import Path\n"
        "from ipai.evaluation.reporting.commands import logging_command\n"
        f"run = logging_command(Path('{tmp_path}/logs'), 2)\n"
        f"ThreadPoolExecutor(2).submit(run, ['-c', {child!r}]).result()"
    )
    running = subprocess.Popen([sys.executable, "-c", parent])
    try:
        pid = _written(tmp_path / "pid")
    finally:
        running.send_signal(number)
        running.wait(20)
    deadline = time.monotonic() + 20
    while _lives(pid):
        assert time.monotonic() < deadline, "the child lives on"
        time.sleep(0.05)


def _written(path: Path) -> int:
    deadline = time.monotonic() + 60
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline, "it never started"
        time.sleep(0.05)
    return int(path.read_text())


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
