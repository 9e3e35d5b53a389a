"""Score a trained adapter:  python scripts/evaluate.py run=runs/joint-toy

`--help` lists the settings.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from omegaconf import DictConfig

from ipai.cli import command


@command("evaluate")
def main(raw: DictConfig) -> None:
    """Evaluate with a bar for each stage and print the table."""
    from ipai.evaluation.config import EvaluationConfig, check
    from ipai.schema import typed

    config = typed(raw, EvaluationConfig)
    check(config)  # before diffusers' seconds
    from ipai.evaluation.evaluating import evaluate
    from ipai.evaluation.layout import TABLE
    from ipai.evaluation.reporting.publishing import publish

    done = evaluate(config, pictures_bar)
    report = publish(done, config)
    print((done.folder / TABLE).read_text(encoding="utf-8"))
    print(f"evaluation: {done.folder}")
    if report is not None:
        print(f"report: {report}")


@contextmanager
def pictures_bar(what: str, total: int) -> Iterator[Callable[[int], object]]:
    """A bar on stderr that counts pictures."""
    from tqdm import tqdm

    with tqdm(desc=what, total=total, unit=" pictures", file=sys.stderr, disable=None) as bar:
        yield bar.update
