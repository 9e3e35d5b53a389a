"""Settings of the COCO builder. The paper gives none of the numbers (only the size, 35,000); these are ours."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from data_builders.engine.config import BuildConfig
from ipai.schema import above, between, one_of

CAPTIONERS = ("dataset", "template", "openai")
LICENCES = ("any", "permissive")
BACKGROUNDS = ("colour", "photo")


@dataclass
class CocoSource:
    """`root` holds `annotations/` and one folder of photographs for each split; `licences` is any or permissive."""

    root: str
    split: str = "train2017"
    licences: str = field(default="any", metadata=one_of(*LICENCES))
    max_pixels: int = field(default=50_000_000, metadata=above(0))


@dataclass
class Filters:
    """Thresholds, in the order in which `data_builders.coco.filters` applies them; shares lie in 0..1, sides are px."""

    min_area: float = 0.04
    max_area: float = 0.70
    min_side: float = 96
    min_fill: float = field(default=0.35, metadata=between(0, 1))
    max_borders: int = 2
    border: float = 2
    min_visible: float = field(default=0.9, metadata=between(0, 1))
    max_per_category: int | None = field(default=4000, metadata=above(0))


@dataclass
class ConditionCrop:
    """How the condition is cut out.

    Attributes:
        margin: Added on each side of the object's box, as a share of the box's longer side.
        background: What lies around the object: colour (one that is drawn) or photo (the photograph; the colour only
            beyond its borders). The paper's "cropped, and padded with a random colour where necessary" may be either.
    """

    margin: float = field(default=0.1, metadata=between(0, 2))
    background: str = field(default="colour", metadata=one_of(*BACKGROUNDS))


@dataclass(kw_only=True)
class ObjectBuild(BuildConfig):
    """Everything the COCO builder knows."""

    source: CocoSource
    filters: Filters = field(default_factory=Filters)
    crop: ConditionCrop = field(default_factory=ConditionCrop)

    def problems(self) -> Iterator[str]:
        """The engine's problems and those of COCO's settings."""
        yield from super().problems()
        filters = self.filters
        if self.task != "object":
            yield f"task={self.task} is not what COCO serves; set task=object"
        if self.captioner.name not in CAPTIONERS:
            yield f"captioner={self.captioner.name} is none of {', '.join(CAPTIONERS)}"
        if self.captioner.name == "template" and "{objects}" not in (self.captioner.template or ""):
            yield f"captioner.template={self.captioner.template!r} must hold {{objects}}"
        if not 0 <= filters.min_area < filters.max_area <= 1:
            yield f"filters.min_area={filters.min_area} must be below filters.max_area={filters.max_area}, both in 0..1"
