"""Settings of a data set of one's own pictures."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from data_builders.engine.config import BuildConfig
from ipai.schema import above, between

BUILDER = "own"


@dataclass
class OwnSource:
    """The pictures.

    Attributes:
        root: Folder that holds them, at any depth.
        metadata: A `.jsonl` or `.csv` file below it that lists them; None looks for metadata.jsonl and metadata.csv,
            and without them takes every picture that is there.
        dataset: How records call the source.
        licence_name, licence_url: Of pictures whose row names none; an empty name says nothing.
        max_pixels: Larger pictures are dropped by their header.
    """

    root: str
    metadata: str | None = None
    dataset: str = "own"
    licence_name: str = ""
    licence_url: str = ""
    max_pixels: int = field(default=50_000_000, metadata=above(0))


@dataclass
class OwnPairs:
    """How pictures of one group are paired, for style and face.

    Attributes:
        per_picture: Conditions for one target, at most.
    """

    per_picture: int = field(default=4, metadata=above(0))


@dataclass
class OwnCrop:
    """How an object is cut out.

    Attributes:
        margin: Around its box, as a share of the box's longer side.
    """

    margin: float = field(default=0.1, metadata=between(0, 2))


@dataclass(kw_only=True)
class OwnBuild(BuildConfig):
    """Everything the builder of one's own pictures knows."""

    builder: str
    source: OwnSource
    pairs: OwnPairs = field(default_factory=OwnPairs)
    crop: OwnCrop = field(default_factory=OwnCrop)

    def problems(self) -> Iterator[str]:
        """The engine's problems and those of these settings."""
        yield from super().problems()
        if self.captioner.name == "template" and not (self.captioner.template or "").strip():
            yield "captioner.template is empty; give a sentence, in which {objects} stands for the slot"
