"""Settings of the CelebA builder. The paper gives 40,000 pairs, half of them zoomed in; the other numbers are ours."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from data_builders.engine.config import BuildConfig

CAPTIONERS = ("dataset", "template", "openai")
FORMS = ("aligned", "hq")
SPLITS = {"all": (0, 1, 2), "train": (0,), "val": (1,), "test": (2,)}
"""CelebA's own partitions by the name that `source.split` gives them."""


@dataclass
class CelebaSource:
    """`root` holds the annotation files and the pictures; `form` is aligned (178 x 218 px) or hq (1024 px)."""

    root: str
    form: str = "aligned"
    split: str = "all"
    max_pixels: int = 50_000_000


@dataclass
class Pairs:
    """At most `max_per_identity` pairs a person; near-duplicates differ in under `min_hash_distance` bits of 64."""

    max_per_identity: int | None = 8
    min_hash_distance: int = 6


@dataclass
class Zoom:
    """The share of conditions that is zoomed in, and the side of the square in eye distances (see `geometry`)."""

    fraction: float = 0.5
    scale: float = 2.8


@dataclass(kw_only=True)
class FaceBuild(BuildConfig):
    """Everything the CelebA builder knows."""

    source: CelebaSource
    pairs: Pairs = field(default_factory=Pairs)
    zoom: Zoom = field(default_factory=Zoom)

    @property
    def needs_landmarks(self) -> bool:
        """CelebA-HQ's pictures are cut anew, so the landmarks do not fit them."""
        return self.source.form == "aligned" and self.zoom.fraction > 0

    def problems(self) -> Iterator[str]:
        """The engine's problems and those of CelebA's settings."""
        yield from super().problems()
        if self.task != "face":
            yield f"task={self.task} is not what CelebA serves; set task=face"
        choices = {
            "captioner": (self.captioner.name, CAPTIONERS),
            "source.form": (self.source.form, FORMS),
            "source.split": (self.source.split, tuple(SPLITS)),
        }
        for key, (value, allowed) in choices.items():
            if value not in allowed:
                yield f"{key}={value} is none of {', '.join(allowed)}"
        if self.captioner.name == "template" and "{objects}" not in (self.captioner.template or ""):
            yield f"captioner.template={self.captioner.template!r} must hold {{objects}}"
        if self.source.max_pixels < 1:
            yield f"source.max_pixels={self.source.max_pixels} must be at least 1"
        if self.pairs.max_per_identity is not None and self.pairs.max_per_identity < 1:
            yield f"pairs.max_per_identity={self.pairs.max_per_identity} must be at least 1, or null for no cap"
        if not 0 <= self.pairs.min_hash_distance <= 64:
            yield f"pairs.min_hash_distance={self.pairs.min_hash_distance} must lie between 0 (no check) and 64"
        if not 0 <= self.zoom.fraction <= 1:
            yield f"zoom.fraction={self.zoom.fraction} must lie between 0 and 1"
        if not 1 <= self.zoom.scale <= 4:
            yield f"zoom.scale={self.zoom.scale} must lie between 1 (eyes and mouth only) and 4 (no zoom in CelebA-HQ)"
