"""All toy sources, one after the other."""

from collections.abc import Callable, Iterator
from pathlib import Path

from ipai.errors import DataError
from ipai.files import write_json
from ipai.toyworld.sources.celeba import write_celeba
from ipai.toyworld.sources.coco import write_coco
from ipai.toyworld.sources.commoncatalog import write_commoncatalog
from ipai.toyworld.sources.config import SourcesConfig
from ipai.toyworld.sources.folder import SETTINGS, appearing, are_written, folder_of
from ipai.toyworld.sources.journeydb import write_journeydb
from ipai.toyworld.sources.midjourney import write_midjourney, write_prompts

Writer = Callable[[Path, int, int, int], Iterator[int]]
"""Takes the path, the number of samples, a seed and the pictures' side (px); yields how many were written since."""

WRITERS: dict[str, Writer] = {
    "journeydb": write_journeydb,
    "midjourney": write_midjourney,
    "prompts.txt": write_prompts,
    "coco": write_coco,
    "commoncatalog": write_commoncatalog,
    "celeba": write_celeba,
}
"""By name in the output folder; the place in this order decides the seed."""


def write_sources(config: SourcesConfig) -> Iterator[tuple[str, int]]:
    """Write all sources; yields which one is being written and how many of its samples were written since.

    The folder appears when all is written. A process that is killed before leaves a hidden folder beside it, which the
    next one removes.

    Raises:
        DataError: The folder holds something already, another process writes it, or it cannot be written.
    """
    folder = folder_of(config)
    with appearing(folder) as aside:
        if are_written(config):
            raise DataError(f"{folder} is written already; there is nothing to do")
        for number, (name, write) in enumerate(WRITERS.items()):
            for count in write(aside / name, config.samples, seed_of(config.seed, number), config.size):
                yield name, count
        write_json(aside / SETTINGS, config.deciding())


def seed_of(seed: int, number: int) -> int:
    """The seed of source `number`: apart from those of the other sources and from all that anybody would give."""
    return seed + ((number + 1) << 32)
