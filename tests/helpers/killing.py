"""Kills the real command with SIGKILL when its first shard is done, and lets it continue."""

import signal
import subprocess
import time
from pathlib import Path

from tests.helpers.building import digests, environment, run_command


def killed_and_continued(words: list[str], folder: Path) -> tuple[int, dict[str, str]]:
    """Run, kill, run again; returns how many shards were done at the kill, and the hashes of all files in the end."""
    victim = subprocess.Popen(words, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while victim.poll() is None and not list(folder.glob("*-*.json")) and time.monotonic() < until:
        time.sleep(0.002)
    victim.send_signal(signal.SIGKILL)
    victim.wait(timeout=30)
    done = len(list(folder.glob("*-*.json")))
    again = run_command(words, folder.parent)
    assert again.returncode == 0, again.stderr
    return done, digests(folder)
