"""What `scripts/make_toy_sources.py` can be told."""

from dataclasses import asdict, dataclass, field

from omegaconf import DictConfig

from ipai.schema import between, refuse, typed

# Raised when the same settings come to give other files.
VERSION = 1

FEWEST_SAMPLES = 10
MOST_SAMPLES = 40_000  # a person has at most 30 pictures, and 1,920 persons can be told from each other
SMALLEST_SIZE, LARGEST_SIZE = 16, 1024
_SEEDS = 2**31


@dataclass
class SourcesConfig:
    """What is written.

    Attributes:
        output: Folder for all sources; may hold nothing, or what the same settings wrote.
        samples: Pictures a source.
        seed: Decides every picture and every other choice.
        size: Side of the pictures, px; CelebA's are 178 x 218 whatever it is.
    """

    output: str
    samples: int = field(metadata=between(FEWEST_SAMPLES, MOST_SAMPLES))
    seed: int = field(metadata=between(0, _SEEDS - 1))
    size: int = field(metadata=between(SMALLEST_SIZE, LARGEST_SIZE))

    def deciding(self) -> dict[str, int]:
        """The settings that decide what is written, and the version of the writers."""
        return {key: value for key, value in asdict(self).items() if key != "output"} | {"version": VERSION}


def parse(raw: DictConfig) -> SourcesConfig:
    """Turn what Hydra composed into checked settings.

    Raises:
        ConfigError: A key is unknown, missing or of the wrong type, or a value cannot work.
    """
    config: SourcesConfig = typed(raw, SourcesConfig)
    refuse([] if config.output.strip() else ["output= is empty; name a folder"])
    return config
