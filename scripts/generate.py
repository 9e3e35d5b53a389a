"""Draw pictures:  python scripts/generate.py checkpoint=... image=... instruction="use the style" prompt="..."

`--help` lists the settings.
"""

import logging
import os
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ipai.errors import IpaiError

_MISUSE = 2


@hydra.main(version_base="1.3", config_path="../conf", config_name="generate")
def main(raw: DictConfig) -> None:
    """Compose, check, draw."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr, force=True)
    try:
        run(raw)
    except IpaiError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(_MISUSE)


def run(raw: DictConfig) -> None:
    """Draw with a bar that counts the pictures, and say where they are."""
    from tqdm import tqdm

    from ipai.config import typed
    from ipai.pipeline.drawing import draw
    from ipai.pipeline.record import repeated
    from ipai.pipeline.settings import DrawingConfig

    if raw.get("repeat"):
        raw, differing = repeated(raw, HydraConfig.get().overrides.task, Path(raw.repeat))
        if differing:
            print(f"other versions drew {raw.repeat}, so pixels may differ: {', '.join(differing)}", file=sys.stderr)
    if not OmegaConf.is_missing(raw, "instruction") and isinstance(raw.instruction, str):
        raw.instruction = [raw.instruction]
    config = typed(raw, DrawingConfig)
    total = len(config.instruction) * len(config.seeds)
    with tqdm(total=total, unit=" pictures", file=sys.stderr, disable=None) as bar:
        print(draw(config, bar.update))


if __name__ == "__main__":
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises what went wrong instead of printing it and ending with 1
    try:
        main()
    except (HydraException, OmegaConfBaseException) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(_MISUSE)
