"""The paper's claims in miniature:  python scripts/reproduce_toy.py

Trains joint, single-task, fixed-instruction and task-embedding adapters in the toy world with the real commands,
evaluates them and writes docs/results.md. Started again, it goes on where it was. `--help` lists the settings.
"""

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from ipai.cli import command


@command("reproduce")
def main(raw: DictConfig) -> None:
    """Run what is not done and write the results."""
    from ipai.evaluation.reporting.reproducing import ReproduceConfig, draw_figures, reproduce
    from ipai.evaluation.reporting.results import results
    from ipai.files import write_text
    from ipai.schema import typed

    config = typed(raw, ReproduceConfig)
    logs = Path(config.runs_root) / "reproduce-toy-logs"
    reproduce(config, _command, _command if config.at_once == 1 else _logging(logs, config.at_once))
    output = Path(config.output)
    previous = output.read_text(encoding="utf-8") if output.exists() else None
    command = " ".join(["python scripts/reproduce_toy.py", *sys.argv[1:]])
    write_text(output, results(config, command, previous))
    print(f"results: {output}")
    draw_figures(config, _command)


def _command(words: list[str]) -> int:
    print("python " + " ".join(words), file=sys.stderr)
    return _run(words)


def _run(words: list[str], **to: Any) -> int:
    """Its children end with this script, however it ends: else they would hold their folders against the next start."""
    from ipai.launch.processes import die_with_parent

    return subprocess.run([sys.executable, *words], check=False, preexec_fn=die_with_parent, **to).returncode


def _logging(folder: Path, at_once: int) -> Callable[[list[str]], int]:
    """Of commands that run beside each other: what each says goes to a file of its own, and they share the cores."""
    from ipai.launch.processes import usable_cores

    folder.mkdir(parents=True, exist_ok=True)
    threads = {"OMP_NUM_THREADS": str(max(usable_cores() // at_once, 1)), **os.environ}
    numbers = itertools.count(len(list(folder.iterdir())))

    def run(words: list[str]) -> int:
        path, began = folder / f"{next(numbers):03}.log", time.monotonic()
        print(f"{path.name}: python {' '.join(words)}", file=sys.stderr)
        with path.open("w", encoding="utf-8") as log:
            code = _run(words, stdout=log, stderr=log, env=threads)
        told = f"ended with {code}, see {path}" if code else "done"
        print(f"{path.name}: {told} after {time.monotonic() - began:.0f} s", file=sys.stderr)
        return code

    return run


if __name__ == "__main__":
    main()
