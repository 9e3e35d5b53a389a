"""Forked workers: what they need is there already, stop signals wait until they hear, and none outlives its parent."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

HEAD = """
    import multiprocessing, os, signal, sys, time
    from ipai.launch.forking import end_with_parent, hear_signals, start_forkserver
"""
TAIL = """
    if __name__ == "__main__":
        start_forkserver("colorsys")
        worker = multiprocessing.get_context("forkserver").Process(target=work)
        worker.start()
        worker.join()
        sys.exit(-worker.exitcode if worker.exitcode < 0 else worker.exitcode)
"""


def started(folder: Path, work: str) -> "subprocess.Popen[str]":
    """A script whose one forked worker does this."""
    script = folder / "script.py"
    script.write_text("".join(map(textwrap.dedent, (HEAD, work, TAIL))), encoding="utf-8")
    return subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, cwd=folder)


def test_workers_find_what_the_server_imported(tmp_path: Path) -> None:
    work = """
    def work():
        print("colorsys" in sys.modules, flush=True)
    """
    assert started(tmp_path, work).communicate(timeout=60)[0] == "True\n"


def test_a_stop_signal_waits_until_a_worker_hears(tmp_path: Path) -> None:
    work = """
    def work():
        os.kill(os.getpid(), signal.SIGTERM)
        print("deaf", flush=True)
        hear_signals()
        print("not reached", flush=True)
    """
    process = started(tmp_path, work)
    assert process.communicate(timeout=60)[0] == "deaf\n"
    assert process.returncode == signal.SIGTERM


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_a_worker_ends_with_its_killed_parent(tmp_path: Path) -> None:
    work = """
    def work():
        end_with_parent()
        print(os.getpid(), flush=True)
        time.sleep(600)
    """
    process = started(tmp_path, work)
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    os.kill(worker, 0)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{worker}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
