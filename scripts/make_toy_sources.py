"""Write the toy world as the real sources lie on disk:  python scripts/make_toy_sources.py output=... samples=..."""

import sys

import hydra
from omegaconf import DictConfig

from ipai.config import typed
from ipai.errors import IpaiError

_MISUSE = 2


@hydra.main(version_base="1.3", config_path="../conf", config_name="toy_sources")
def main(raw: DictConfig) -> None:
    """Compose, check, write."""
    try:
        run(raw)
    except IpaiError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(_MISUSE)


def run(raw: DictConfig) -> None:
    """Write the sources, with a bar that counts them."""
    from tqdm import tqdm

    from ipai.toyworld.sources.write import SOURCES, SourcesConfig, write_sources

    config = typed(raw, SourcesConfig)
    written = 0
    with tqdm(total=len(SOURCES), unit=" sources", desc="toy sources", file=sys.stderr, disable=None) as bar:
        for name in write_sources(config):
            bar.set_postfix_str(name)
            bar.update()
            written += 1
    print(f"{config.output}: {config.samples} pictures a source" + ("" if written else " (they were there already)"))


if __name__ == "__main__":
    main()
