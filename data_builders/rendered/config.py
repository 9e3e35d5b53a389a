"""Settings of the rendered pairs."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from data_builders.engine.config import BuildConfig
from ipai.schema import between

BUILDER = "rendered"


@dataclass
class Zoom:
    """`fraction` of the face conditions are cut `scale` times closer."""

    fraction: float = 0.5
    scale: float = 1.5


@dataclass(kw_only=True)
class RenderedBuild(BuildConfig):
    """Everything the renderer's builder knows; `samples` pairs are planned.

    Of the object's conditions a share of `scenes` are whole scenes with the same object, as a user's pictures are; the
    others show the object alone, as crop-and-fill makes them.
    """

    builder: str
    samples: int
    zoom: Zoom = field(default_factory=Zoom)
    scenes: float = field(default=0.0, metadata=between(0, 1))

    def problems(self) -> Iterator[str]:
        """The engine's problems and those of the renderer's settings."""
        yield from super().problems()
        if self.samples < 1:
            yield f"samples={self.samples} must be at least 1"
        if not 0 <= self.zoom.fraction <= 1:
            yield f"zoom.fraction={self.zoom.fraction} must lie between 0 and 1"
        if not 1 <= self.zoom.scale <= 2:
            yield f"zoom.scale={self.zoom.scale} must lie between 1 and 2"
