"""What builders have in common whose pictures a teacher draws."""

from collections.abc import Iterator
from dataclasses import dataclass

from data_builders.engine.config import BuildConfig
from data_builders.teachers.config import Teacher


@dataclass(kw_only=True)
class TaughtBuild(BuildConfig):
    """Settings of such a builder.

    Attributes:
        teacher: What draws.
    """

    teacher: Teacher

    @property
    def at_once(self) -> int:
        """A batch of the teacher."""
        return self.teacher.batch_size

    @property
    def needs_gpu(self) -> bool:
        """The teacher does."""
        return True

    def problems(self) -> Iterator[str]:
        """The engine's problems and the teacher's."""
        yield from super().problems()
        yield from self.teacher.problems()
