"""All toy sources in one folder, which appears whole or not at all."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from ipai.errors import ConfigError
from ipai.files import write_json
from ipai.toyworld.sources.celeba import write_celeba
from ipai.toyworld.sources.coco import write_coco
from ipai.toyworld.sources.commoncatalog import write_commoncatalog
from ipai.toyworld.sources.journeydb import write_journeydb
from ipai.toyworld.sources.midjourney import write_midjourney, write_prompts

_SETTINGS = "toy-sources.json"
_WRITERS = {
    "journeydb": write_journeydb,
    "midjourney": write_midjourney,
    "coco": write_coco,
    "commoncatalog": write_commoncatalog,
    "celeba": write_celeba,
}
SOURCES = (*_WRITERS, "prompts.txt")


@dataclass
class SourcesConfig:
    """What is written.

    Attributes:
        output: Folder; must not exist with other settings.
        samples: Pictures a source.
        seed: Decides every picture; the sources draw from streams of their own.
        size: Side of the pictures, px; CelebA's are 178 x 218 whatever it is.
    """

    output: str
    samples: int
    seed: int
    size: int


def write_sources(config: SourcesConfig) -> Iterator[str]:
    """Write all sources; yields the name of each when it is done, and nothing if they are there already.

    Raises:
        ConfigError: A setting cannot work, or the folder holds sources with other settings, or something else.
    """
    _refuse(config)
    folder = Path(config.output)
    if _is_there(folder, config):
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        for number, (name, write) in enumerate(_WRITERS.items()):
            write(aside / name, config.samples, _seed(config, number), config.size)
            yield name
        write_prompts(aside / "prompts.txt", config.samples, _seed(config, len(_WRITERS)))
        yield "prompts.txt"
        write_json(aside / _SETTINGS, _deciding(config))
        aside.chmod(0o755)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _is_there(folder: Path, config: SourcesConfig) -> bool:
    if not folder.exists():
        return False
    try:
        found = json.loads((folder / _SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder} is there and holds no toy sources; choose another output=") from error
    wanted = _deciding(config)
    if found != wanted:
        differences = ", ".join(
            f"{key}={found.get(key)} there, {value} asked for"
            for key, value in wanted.items()
            if found.get(key) != value
        )
        raise ConfigError(f"{folder} holds other toy sources ({differences}); remove it or choose another output=")
    return True


def _refuse(config: SourcesConfig) -> None:
    if config.samples < 10:
        raise ConfigError(f"samples={config.samples} must be at least 10")
    if not 16 <= config.size <= 1024:
        raise ConfigError(f"size={config.size} must lie between 16 and 1024")
    if config.seed < 0:
        raise ConfigError(f"seed={config.seed} must not be negative")


def _deciding(config: SourcesConfig) -> dict[str, int]:
    return {key: value for key, value in asdict(config).items() if key != "output"}


def _seed(config: SourcesConfig, number: int) -> int:
    """Streams of different sources never meet those of another seed, nor those that the stack is trained on."""
    return 1000 + 100 * config.seed + 10 * number
