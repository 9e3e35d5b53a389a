"""Draw pictures:  python scripts/generate.py checkpoint=... image=... instruction="use the style" prompt="..."

`--help` lists the settings.
"""

import sys
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from ipai.cli import command


@command("generate")
def main(raw: DictConfig) -> None:
    """Draw with a bar that counts the pictures, and say where they are."""
    from tqdm import tqdm

    from ipai.pipeline.settings import DrawingConfig, check
    from ipai.schema import typed

    if raw.get("repeat"):
        from ipai.pipeline.record import repeated

        raw, differing = repeated(raw, HydraConfig.get().overrides.task, Path(raw.repeat))
        if differing:
            print(f"other versions drew {raw.repeat}, so pixels may differ: {', '.join(differing)}", file=sys.stderr)
    config = typed(raw, DrawingConfig)
    check(config)  # before diffusers' seconds
    from ipai.pipeline.drawing import draw

    total = len(config.instruction) * len(config.seeds)
    with tqdm(total=total, unit=" pictures", file=sys.stderr, disable=None) as bar:
        print(draw(config, bar.update))
