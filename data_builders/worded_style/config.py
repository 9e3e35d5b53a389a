"""Settings of style pairs by words. The way is ours, after MegaStyle's finding; the paper used InstantStyle."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from data_builders.instantstyle.config import Prompts
from data_builders.teachers.build import TaughtBuild
from data_builders.teachers.config import TextTeacher
from ipai.schema import above

BUILDER = "worded_style"


@dataclass
class WordedSource:
    """What is described.

    Attributes:
        prompts: Contents: a text file (one a line), or a table as `task=style` reads it.
        styles: Text file of descriptions of styles, one a line; null takes those that come along.
        pairs_per_style: Samples of each style.
        dataset: How records call the set.
        licence_name, licence_url: Under which whoever builds it gives the pictures away; an empty name says nothing.
    """

    prompts: str
    styles: str | None = None
    pairs_per_style: int = field(default=300, metadata=above(0))
    dataset: str = "worded-style"
    licence_name: str = ""
    licence_url: str = ""


@dataclass(kw_only=True)
class WordedStyleBuild(TaughtBuild):
    """Everything this builder knows."""

    builder: str
    source: WordedSource
    teacher: TextTeacher
    prompts: Prompts = field(default_factory=Prompts)

    @property
    def at_once(self) -> int:
        """A batch of the teacher, two pictures a sample."""
        return self.teacher.batch_size // 2

    def problems(self) -> Iterator[str]:
        """The engine's problems, the teacher's, and those of these settings."""
        yield from super().problems()
        if self.task != "style":
            yield f"task={self.task} is not what this builder serves; set task=worded_style"
        if self.teacher.batch_size % 2:
            yield f"teacher.batch_size={self.teacher.batch_size} must be even: a sample is two pictures"
        if self.captioner.name != "dataset":
            yield f"captioner={self.captioner.name} has nothing to say here: contents are the captions; leave it out"
