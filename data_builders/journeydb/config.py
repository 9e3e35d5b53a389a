"""Settings of the JourneyDB builder."""

from collections.abc import Iterator
from dataclasses import dataclass

from data_builders.engine.config import BuildConfig

SPLITS = ("train", "valid")
PROMPTS = ("clean", "raw")


@dataclass
class JourneySource:
    """`root` is the download, or its `data` or `data/<split>`; pictures of more than `max_pixels` are left out.

    A shard reads at most `archives_per_shard` archives, each of them once and from its beginning. `prompt` is clean or
    raw.
    """

    root: str
    split: str = "train"
    archives_per_shard: int = 8
    max_pixels: int = 50_000_000
    prompt: str = "clean"


@dataclass(kw_only=True)
class CopyBuild(BuildConfig):
    """Everything the JourneyDB builder knows."""

    source: JourneySource

    def problems(self) -> Iterator[str]:
        """The engine's problems and those of JourneyDB's settings."""
        yield from super().problems()
        if self.task != "copy":
            yield f"task={self.task} is not what JourneyDB serves; set task=copy"
        if self.captioner.name != "dataset":
            yield f"captioner={self.captioner.name}: JourneyDB has the prompt of each picture; set captioner=dataset"
        if self.source.split not in SPLITS:
            yield f"source.split={self.source.split} is none of {', '.join(SPLITS)}"
        if self.source.prompt not in PROMPTS:
            yield f"source.prompt={self.source.prompt} is none of {', '.join(PROMPTS)}"
        for key in ("archives_per_shard", "max_pixels"):
            if getattr(self.source, key) < 1:
                yield f"source.{key}={getattr(self.source, key)} must be at least 1"
