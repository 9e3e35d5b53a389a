"""Running this project's commands as processes of their own, one after the other or several beside each other."""

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ipai.launch.processes import die_with_parent, usable_cores


def run_command(words: list[str]) -> int:
    """Run `python words...`, whose output is this process's, and return its exit code."""
    sys.stderr.write(f"python {' '.join(words)}\n")
    return _run(words)


def logging_command(folder: Path, at_once: int) -> Callable[[list[str]], int]:
    """What runs commands beside each other: what each says goes to a file of its own, and they share the cores.

    Args:
        folder: Gets the files, numbered on from those that lie there.
        at_once: How many share the cores; a set OMP_NUM_THREADS stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    threads = {"OMP_NUM_THREADS": str(max(usable_cores() // at_once, 1)), **os.environ}
    numbers = itertools.count(len(list(folder.iterdir())))

    def run(words: list[str]) -> int:
        path, began = folder / f"{next(numbers):03}.log", time.monotonic()
        sys.stderr.write(f"{path.name}: python {' '.join(words)}\n")
        with path.open("w", encoding="utf-8") as log:
            code = _run(words, stdout=log, stderr=log, env=threads)
        told = f"ended with {code}, see {path}" if code else "done"
        sys.stderr.write(f"{path.name}: {told} after {time.monotonic() - began:.0f} s\n")
        return code

    return run


def _run(words: list[str], **to: Any) -> int:
    """It ends with this process, however this ends: an orphan would hold its folder against the next start."""
    return subprocess.run([sys.executable, *words], check=False, preexec_fn=die_with_parent, **to).returncode
