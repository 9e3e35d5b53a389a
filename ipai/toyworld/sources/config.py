"""What `scripts/make_toy_sources.py` can be told."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from omegaconf import DictConfig

from ipai.config import typed
from ipai.errors import ConfigError

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
    samples: int
    seed: int
    size: int

    def problems(self) -> Iterator[str]:
        """Values that cannot work, one message each."""
        if not self.output.strip():
            yield "output= is empty; name a folder"
        if not FEWEST_SAMPLES <= self.samples <= MOST_SAMPLES:
            yield f"samples={self.samples} must lie between {FEWEST_SAMPLES} and {MOST_SAMPLES}"
        if not 0 <= self.seed < _SEEDS:
            yield f"seed={self.seed} must lie between 0 and {_SEEDS - 1}"
        if not SMALLEST_SIZE <= self.size <= LARGEST_SIZE:
            yield f"size={self.size} must lie between {SMALLEST_SIZE} and {LARGEST_SIZE}"

    def deciding(self) -> dict[str, int]:
        """The settings that decide what is written, and the version of the writers."""
        return {key: value for key, value in asdict(self).items() if key != "output"} | {"version": VERSION}


def parse(raw: DictConfig) -> SourcesConfig:
    """Turn what Hydra composed into checked settings.

    Raises:
        ConfigError: A key is unknown, missing or of the wrong type, or a value cannot work.
    """
    config: SourcesConfig = typed(raw, SourcesConfig)
    problems = list(config.problems())
    if problems:
        raise ConfigError("these settings cannot work:\n" + "\n".join(f"  - {problem}" for problem in problems))
    return config
