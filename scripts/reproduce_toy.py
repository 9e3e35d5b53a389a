"""The paper's claims in miniature:  python scripts/reproduce_toy.py

Trains joint, single-task, fixed-instruction and task-embedding adapters in the toy world with the real commands,
evaluates them and writes docs/results.md. Started again, it goes on where it was. `--help` lists the settings.
"""

import subprocess
import sys
from pathlib import Path

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
    reproduce(config, _command)
    output = Path(config.output)
    previous = output.read_text(encoding="utf-8") if output.exists() else None
    command = " ".join(["python scripts/reproduce_toy.py", *sys.argv[1:]])
    write_text(output, results(config, command, previous))
    print(f"results: {output}")
    draw_figures(config, _command)


def _command(words: list[str]) -> int:
    print("python " + " ".join(words), file=sys.stderr)
    return subprocess.run([sys.executable, *words], check=False).returncode


if __name__ == "__main__":
    main()
