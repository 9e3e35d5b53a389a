"""Write the toy world as the real sources lie on disk:  python scripts/make_toy_sources.py output=... samples=...

`--help` lists the settings. The folder appears whole or not at all; where it is there already, nothing is done.
"""

import os
import sys

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ipai.errors import IpaiError

_MISUSE = 2
_INTERRUPTED = 130


@hydra.main(version_base="1.3", config_path="../conf", config_name="toy_sources")
def main(raw: DictConfig) -> None:
    """Compose, check, write."""
    try:
        run(raw)
    except IpaiError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(_MISUSE)
    except KeyboardInterrupt:
        print("interrupted; nothing is left, and the same command starts anew", file=sys.stderr)
        sys.exit(_INTERRUPTED)


def run(raw: DictConfig) -> None:
    """Write the sources, with a bar on stderr, unless they are there."""
    from tqdm import tqdm

    from ipai.toyworld.sources.config import parse
    from ipai.toyworld.sources.folder import are_written

    config = parse(raw)
    if are_written(config):
        print(f"{config.output}: written before with the same settings; nothing to do")
        return
    from ipai.toyworld.sources.write import WRITERS, write_sources  # takes seconds, so only where it is needed

    with tqdm(total=len(WRITERS) * config.samples, unit=" pictures", file=sys.stderr, disable=None) as bar:
        for name, count in write_sources(config):
            bar.set_description(name, refresh=False)
            bar.update(count)
    print(f"{config.output}: {', '.join(WRITERS)}, {config.samples:,} pictures each")


if __name__ == "__main__":
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises what went wrong instead of printing it and ending with 1
    try:
        main()
    except (HydraException, OmegaConfBaseException) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(_MISUSE)
