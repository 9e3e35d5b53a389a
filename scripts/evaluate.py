"""Score a trained adapter:  python scripts/evaluate.py run=runs/joint-toy

`--help` lists the settings.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ipai.errors import IpaiError

_MISUSE = 2


@hydra.main(version_base="1.3", config_path="../conf", config_name="evaluate")
def main(raw: DictConfig) -> None:
    """Compose, check, evaluate."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr, force=True)
    try:
        run(raw)
    except IpaiError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(_MISUSE)


def run(raw: DictConfig) -> None:
    """Evaluate with a bar for each stage and print the table."""
    from ipai.config import typed
    from ipai.evaluation.config import EvaluationConfig
    from ipai.evaluation.evaluating import evaluate
    from ipai.evaluation.layout import TABLE
    from ipai.evaluation.reporting.publishing import publish

    config = typed(raw, EvaluationConfig)
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


if __name__ == "__main__":
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises what went wrong instead of printing it and ending with 1
    try:
        main()
    except (HydraException, OmegaConfBaseException) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(_MISUSE)
