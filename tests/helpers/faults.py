"""What the fault tests share: starting the real command as another trial, and what the process tree is told."""

import os
import signal
import subprocess
import time
from pathlib import Path

from tests.helpers.warm import Running

# Where the process kills itself: patched into it, then the real command runs.
KILL_AT = """
import os, runpy, signal, sys
from pathlib import Path
{setup}
sys.argv = {argv!r}
runpy.run_path("train.py", run_name="__main__")
"""


def descendants(pid: int) -> list[int]:
    """All processes below one, as Slurm finds those of a job."""
    found = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(line.split()[0]): int(line.split()[1]) for line in found.splitlines()}
    below = [pid]
    for parent in below:
        below += [child for child, of in parents.items() if of == parent]
    return below[1:]


def signal_all(process: Running, number: signal.Signals) -> None:
    """Signal a process and everything below it."""
    for pid in [process.pid, *descendants(process.pid)]:
        try:
            os.kill(pid, number)
        except ProcessLookupError:  # it ended of the signal to another
            continue


def until_path(path: Path, process: Running, seconds: float = 400) -> None:
    """Wait until a file or folder is there; fails if the process ends first."""
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"waited in vain for {path}"
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
