"""The paper's claims in miniature:  python scripts/reproduce_toy.py

Trains joint, single-task, fixed-instruction and task-embedding adapters in the toy world with the real commands,
evaluates them and writes docs/results.md. Started again, it goes on where it was. `--help` lists the settings.
"""

import sys
from pathlib import Path

from omegaconf import DictConfig

from ipai.cli import command


@command("reproduce")
def main(raw: DictConfig) -> None:
    """Run what is not done and write the results."""
    from ipai.evaluation.reporting.commands import logging_command, run_command
    from ipai.evaluation.reporting.reproducing import ReproduceConfig, draw_figures, reproduce
    from ipai.evaluation.reporting.results import results
    from ipai.files import write_text
    from ipai.schema import typed

    config = typed(raw, ReproduceConfig)
    logs = Path(config.runs_root) / "reproduce-toy-logs"
    beside = run_command if config.at_once == 1 else logging_command(logs, config.at_once)
    reproduce(config, run_command, beside)
    output = Path(config.output)
    previous = output.read_text(encoding="utf-8") if output.exists() else None
    command = " ".join(["python scripts/reproduce_toy.py", *sys.argv[1:]])
    write_text(output, results(config, command, previous))
    print(f"results: {output}")
    draw_figures(config, run_command)


if __name__ == "__main__":
    main()
