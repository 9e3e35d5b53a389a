"""Draw one of the paper's figures:  python scripts/figures.py figure=4 run=runs/joint-toy

`--help` lists the settings.
"""

import logging
import os
import sys

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ipai.errors import IpaiError

_MISUSE = 2


@hydra.main(version_base="1.3", config_path="../conf", config_name="figures")
def main(raw: DictConfig) -> None:
    """Compose, check, draw."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr, force=True)
    try:
        run(raw)
    except IpaiError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(_MISUSE)


def run(raw: DictConfig) -> None:
    """Draw and say where the files are."""
    from ipai.config import typed
    from ipai.evaluation.figures.config import FigureConfig
    from ipai.evaluation.figures.drawing import draw_figure

    for path in draw_figure(typed(raw, FigureConfig)):
        print(path)


if __name__ == "__main__":
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises what went wrong instead of printing it and ending with 1
    try:
        main()
    except (HydraException, OmegaConfBaseException) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(_MISUSE)
