"""Write a folder for the Hugging Face hub:  python scripts/export.py checkpoint=runs/joint-paper output=my-adapter

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


@hydra.main(version_base="1.3", config_path="../conf", config_name="export")
def main(raw: DictConfig) -> None:
    """Compose, check, export."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr, force=True)
    try:
        run(raw)
    except IpaiError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(_MISUSE)


def run(raw: DictConfig) -> None:
    """Export and say where it lies."""
    from ipai.config import typed
    from ipai.pipeline.exporting import ExportConfig, export

    print(export(typed(raw, ExportConfig)))


if __name__ == "__main__":
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises what went wrong instead of printing it and ending with 1
    try:
        main()
    except (HydraException, OmegaConfBaseException) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(_MISUSE)
