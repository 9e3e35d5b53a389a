"""Settings of a data set of one's own pictures."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from data_builders.engine.config import AnyShape, BuildConfig
from ipai.schema import above, between, one_of

BUILDER = "own"
_SPLIT = "train"
FORMS = ("folder", "webdataset", "huggingface")
COLUMNS = ("target", "condition", "mask", "prompt", "cond_prompt", "slot", "group", "licence")


@dataclass
class OwnSource:
    """The pictures.

    Attributes:
        root: Folder that holds them, at any depth; of `huggingface` also the id of a data set on the hub.
        form: folder; webdataset (tars of others); huggingface (the hub, `save_to_disk`, a folder of Parquet or images).
        columns: Our name of a column -> the source's; null where it is the same.
        metadata: Of a folder: a `.jsonl` or `.csv` file below it that lists the pictures; None looks for metadata.jsonl
            and metadata.csv, and without them takes every picture that is there.
        subset, split, revision: Of a data set in Hugging Face's forms.
        first: Stream only so many rows of it; None takes it whole.
        dataset: How records call the source.
        licence_name, licence_url: Of pictures whose row names none; an empty name says nothing.
        max_pixels: Larger pictures are dropped by their header.
    """

    root: str
    form: str = field(default="folder", metadata=one_of(*FORMS))
    columns: dict[str, str | None] = field(default_factory=lambda: dict.fromkeys(COLUMNS), metadata=one_of(*COLUMNS))
    metadata: str | None = None
    subset: str | None = None
    split: str = _SPLIT
    revision: str | None = None
    first: int | None = field(default=None, metadata=above(0))
    dataset: str = "own"
    licence_name: str = ""
    licence_url: str = ""
    max_pixels: int = field(default=50_000_000, metadata=above(0))

    @property
    def renamed(self) -> dict[str, str]:
        """The columns that have another name in the source: ours -> its own."""
        return {ours: theirs for ours, theirs in self.columns.items() if theirs is not None}


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
class OwnBuild(AnyShape, BuildConfig):
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
        if self.task == "object" and self.max_aspect > 1:
            yield f"max_aspect={self.max_aspect:g}: an object is shown in the square that holds it; leave it at 1"
        source = self.source
        if source.metadata and source.form != "folder":
            yield f"source.metadata={source.metadata} lists a folder's pictures; source.form={source.form} reads none"
        of_hugging_face = source.subset or source.revision or source.first or source.split != _SPLIT
        if source.form != "huggingface" and of_hugging_face:
            yield "source.subset, source.split, source.revision and source.first belong to source.form=huggingface"
