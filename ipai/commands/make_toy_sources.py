"""Write the toy world as the real sources lie on disk:  python scripts/make_toy_sources.py output=... samples=...

`--help` lists the settings. The folder appears whole or not at all; where it is there already, nothing is done.
"""

import sys

from omegaconf import DictConfig

from ipai.cli import command


@command("toy_sources", interrupted="interrupted; nothing is left, and the same command starts anew")
def main(raw: DictConfig) -> None:
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
