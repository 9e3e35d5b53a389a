"""Kills the real command with SIGKILL, when its first shard is done or at random moments, and lets it go on."""

import random
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
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


def killed_ten_times(words: Sequence[str], folder: Path, shards: int) -> dict[str, str]:
    """The digests of what a build leaves in `folder` that was killed ten times and then let go on.

    Args:
        words: The command.
        folder: Of the task.
        shards: Of an undisturbed build; at least one kill must fall when some of them are done, and not all.
    """
    draw, counts = random.Random(0), []
    for attempt in range(10):
        victim = subprocess.Popen(
            words, cwd=folder.parents[1], env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        if attempt % 2:
            time.sleep(draw.uniform(0.1, 1.5))  # any moment, start-up and planning too
        else:
            wait_for_a_shard(folder, victim, draw.uniform(0.0, 0.3), finished=attempt % 4 == 0)
        victim.send_signal(signal.SIGKILL)
        victim.wait(timeout=30)
        counts.append(len(list(folder.glob("*-*.json"))))
        if (folder / "card.md").exists():  # it had finished: open it again
            for path in [folder / "card.md", *sorted(folder.glob("train-*.tar"))[:10]]:
                path.unlink()
    assert any(0 < count < shards for count in counts), f"no kill fell into the building: {counts}"
    done = run_command(list(words), folder.parents[1])
    assert done.returncode == 0, done.stderr
    return digests(folder)


def wait_for_a_shard(folder: Path, victim: subprocess.Popen[bytes], then: float, finished: bool = False) -> None:
    """Wait until a shard is begun or finished, or the command has ended, and then for `then` seconds."""
    before, starts = names_in(folder), ("train-", "val-") if finished else (".train-", ".val-")
    until = time.monotonic() + 120
    while victim.poll() is None and time.monotonic() < until:
        if any(name.startswith(starts) for name in names_in(folder) - before):
            break
        time.sleep(0.005)
    time.sleep(then)


def names_in(folder: Path) -> set[str]:
    """Names of the files of a folder, which may not be there yet."""
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def shards_of(files: Iterable[str]) -> int:
    """How many of the files of a folder are shards."""
    return sum(name.endswith(".tar") for name in files)
