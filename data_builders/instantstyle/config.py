"""Settings of the InstantStyle builder. The paper names the sources and the size (20,000); the numbers are ours."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from data_builders.teachers.build import TaughtBuild
from data_builders.teachers.config import StyleTeacher
from ipai.schema import above, between

CAPTIONERS = ("dataset", "template", "openai")


@dataclass
class StyleSource:
    """Style images and prompts.

    Attributes:
        root: Folder of pictures, or of Parquet files with a column of them; every folder below it counts.
        prompts: Text file (a prompt a line), or CSV, TSV, JSONL or Parquet with columns of text.
        dataset: How records call the style images.
        licence_name, licence_url: What records say of their terms; an empty URL says that there is no page.
        picture_column: Column of Parquet files that holds the pictures.
        pairs_per_image: Samples of each style image, each with a prompt of its own.
        min_distance: A picture whose perceptual hash differs in fewer bits (of 64) from one before it is a duplicate.
        min_side: px, shorter side of a style image.
        max_pixels: Larger pictures are left out.
    """

    root: str
    prompts: str
    dataset: str = "midjourney-images"
    licence_name: str = "MIT as tagged by the uploader; the rights in the pictures are unclear"
    licence_url: str = "https://huggingface.co/datasets/ehristoforu/midjourney-images"
    picture_column: str = "image"
    pairs_per_image: int = field(default=3, metadata=above(0))
    min_distance: int = field(default=4, metadata=between(0, 64))
    min_side: int = field(default=256, metadata=above(0))
    max_pixels: int = field(default=50_000_000, metadata=above(0))


@dataclass
class Prompts:
    """How prompts are read; see `data_builders.instantstyle.content`.

    Attributes:
        columns: Of a table: the first of these that holds text in a row is its prompt.
        artist_column: Of a table: the name in it is taken out of the prompt.
        content_only: Take words of style, medium and artist out; they would fight the style image.
        min_words: Prompts with fewer words are left out.
        max_words: And those with more; the text encoder reads 75 tokens.
    """

    columns: list[str] = field(default_factory=lambda: ["prompt", "text", "title", "description"])
    artist_column: str = "artist"
    content_only: bool = True
    min_words: int = 2
    max_words: int = 40


@dataclass(kw_only=True)
class StyleBuild(TaughtBuild):
    """Everything the InstantStyle builder knows."""

    source: StyleSource
    teacher: StyleTeacher
    prompts: Prompts = field(default_factory=Prompts)

    def problems(self) -> Iterator[str]:
        """The engine's problems, the teacher's, and those of these settings."""
        yield from super().problems()
        if self.task != "style":
            yield f"task={self.task} is not what InstantStyle serves; set task=style"
        if self.captioner.name not in CAPTIONERS:
            yield f"captioner={self.captioner.name} is none of {', '.join(CAPTIONERS)}"
        template = self.captioner.template or ""
        if self.captioner.name == "template" and (not template.strip() or "{" in template):
            yield f"captioner.template={template!r} must be words without braces, the same for every style image"
        if self.captioner.name == "template" and self.teacher.subtract_content:
            yield (
                f"teacher.subtract_content={self.teacher.subtract_content} needs a caption of each style image; "
                "captioner=template says the same of all: set captioner=dataset"
            )
        if not 1 <= self.prompts.min_words <= self.prompts.max_words:
            yield f"prompts.min_words={self.prompts.min_words} must lie between 1 and prompts.max_words"
        if not self.prompts.columns:
            yield "prompts.columns=[] must name a column"
