"""Settings of the JourneyDB builder."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from data_builders.engine.config import AnyShape, BuildConfig
from ipai.schema import above, one_of

SPLITS = ("train", "valid")
PROMPTS = ("clean", "raw")


LICENCE = {
    "name": "JourneyDB terms of usage: non-commercial research, no redistribution",
    "url": "https://huggingface.co/datasets/JourneyDB/JourneyDB",
}
"""Written to every record."""


@dataclass
class JourneySource:
    """`root` is the download, or its `data` or `data/<split>`; pictures of more than `max_pixels` are left out.

    A shard reads at most `archives_per_shard` archives, each of them once and from its beginning. `prompt` is clean or
    raw. With `val_apart` the held-out pictures come from as few archives as hold them.
    """

    root: str
    split: str = field(default="train", metadata=one_of(*SPLITS))
    archives_per_shard: int = field(default=8, metadata=above(0))
    max_pixels: int = field(default=50_000_000, metadata=above(0))
    prompt: str = field(default="clean", metadata=one_of(*PROMPTS))
    val_apart: bool = True


@dataclass(kw_only=True)
class CopyBuild(AnyShape, BuildConfig):
    """Everything the JourneyDB builder knows."""

    source: JourneySource

    def problems(self) -> Iterator[str]:
        """The engine's problems and those of JourneyDB's settings."""
        yield from super().problems()
        if self.task != "copy":
            yield f"task={self.task} is not what JourneyDB serves; set task=copy"
        if self.captioner.name != "dataset":
            yield f"captioner={self.captioner.name}: JourneyDB has the prompt of each picture; set captioner=dataset"
