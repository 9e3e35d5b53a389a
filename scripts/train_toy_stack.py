"""Train the toy world's stack from scratch:  python scripts/train_toy_stack.py  (--help lists the settings).

The same command continues a training that was stopped. The finished stack lies in `output`, a report in `work`.
"""

import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from tqdm import tqdm

from ipai.cli import command
from ipai.schema import typed

sys.path.insert(0, str(Path(__file__).parents[1]))  # `tools` is no part of the installed package


@command("toy_stack", interrupted="interrupted; the same command continues", progress=True)
def main(raw: DictConfig) -> None:
    """Train every part, write the stack, measure what was written, and show it."""
    from tools.toy_stack import quality, report, write
    from tools.toy_stack.train import StackConfig, StackTraining

    config = typed(raw, StackConfig)
    bars = Bars()
    stack = StackTraining(config, bars.show)
    if config.only:
        getattr(stack, config.only)
        bars.close()
        return
    folder = Path(config.output)
    write.write_stack(stack, folder)
    bars.close()
    scores = quality.measure(
        folder, stack.oracles, stack.held_out, config.samples, lambda part: print(f"measuring {part}")
    )
    write.write_facts(folder, report.card(config, scores), scores)
    page = report.write_report(stack, folder, scores)
    print(f"{folder}: {report.summary(scores)}\nreport: {page}")


class Bars:
    """One progress bar for each part, with rate and remaining time."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._name = ""

    def show(self, name: str, step: int, steps: int, losses: dict[str, float]) -> None:
        """Move the part's bar to `step`."""
        if name != self._name:
            self.close()
            self._bar, self._name = tqdm(total=steps, initial=step, desc=name, unit=" steps", file=sys.stderr), name
        assert self._bar is not None
        self._bar.update(step - self._bar.n)
        self._bar.set_postfix({key: f"{value:.4f}" for key, value in losses.items()})

    def close(self) -> None:
        """End the bar that is shown."""
        if self._bar is not None:
            self._bar.close()


if __name__ == "__main__":
    main()
