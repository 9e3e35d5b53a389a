"""Settings of the two builders of CommonCatalog. The paper gives the models only; size and thresholds are ours."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from data_builders.engine.config import AnyShape, BuildConfig
from data_builders.teachers.build import TaughtBuild
from data_builders.teachers.config import EdgeTeacher
from ipai.schema import above, at_least, one_of

LICENCES = ("permissive", "derivatives")


@dataclass
class CatalogSource:
    """Parquet files below `root` that match the glob `files`.

    `licences` is permissive (those that allow sharing derivatives, commercially too) or derivatives (non-commercial
    ones as well); `max_caption` counts letters, `min_side` and `max_pixels` judge the picture's own pixels.
    """

    root: str
    files: str = "[0-9]/least_dim_range=512-768/**/*.parquet"
    licences: str = field(default="permissive", metadata=one_of(*LICENCES))
    max_caption: int = field(default=400, metadata=above(0))
    min_side: int = field(default=256, metadata=above(0))
    max_pixels: int = field(default=50_000_000, metadata=above(0))


@dataclass
class Edges:
    """OpenCV's Canny on the square at the teacher's resolution, and what its lines must be like.

    Attributes:
        low, high: Thresholds of the gradient: a line starts above `high` and goes on above `low`.
        dilation: Lines are thickened by so many px on each side.
        min_density, max_density: Share of the square that lines may cover.
        tolerance: px by which a line of the target may be off and still count as followed (score `edge_f1`).
    """

    low: float = 100
    high: float = 200
    dilation: int = field(default=0, metadata=at_least(0))
    min_density: float = 0.01
    max_density: float = 0.25
    tolerance: int = field(default=2, metadata=at_least(0))


@dataclass(kw_only=True)
class StructureBuild(TaughtBuild):
    """Everything the CommonCanvas builder knows."""

    source: CatalogSource
    teacher: EdgeTeacher
    edges: Edges = field(default_factory=Edges)

    def problems(self) -> Iterator[str]:
        """The engine's problems, the teacher's, and those of these settings."""
        yield from super().problems()
        edges = self.edges
        if self.task != "structure":
            yield f"task={self.task} is not what CommonCanvas serves; set task=structure"
        yield from _source_problems(self, self.source)
        if not 0 < edges.low <= edges.high:
            yield f"edges.low={edges.low} must be above 0 and at most edges.high={edges.high}"
        if not 0 <= edges.min_density < edges.max_density <= 1:
            yield f"edges.min_density={edges.min_density} must be below edges.max_density={edges.max_density}, in 0..1"


@dataclass(kw_only=True)
class CatalogCopyBuild(AnyShape, BuildConfig):
    """Everything the builder of copies knows; `builder` is its name in the registry."""

    builder: str
    source: CatalogSource

    def problems(self) -> Iterator[str]:
        """The engine's problems, and those of these settings."""
        yield from super().problems()
        yield from _source_problems(self, self.source)


def _source_problems(config: BuildConfig, source: CatalogSource) -> Iterator[str]:
    if config.captioner.name != "dataset":
        yield f"captioner={config.captioner.name}: CommonCatalog has a caption for each row; set captioner=dataset"
    if source.files.startswith("/") or ".." in source.files.split("/"):
        yield f"source.files={source.files} must be a pattern below source.root"
