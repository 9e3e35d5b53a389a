"""Settings of the CelebA builder. The paper gives 40,000 pairs, half of them zoomed in; the other numbers are ours."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from data_builders.engine.config import BuildConfig
from ipai.schema import above, between, one_of

CAPTIONERS = ("dataset", "template", "openai")
FORMS = ("aligned", "hq")
SPLITS = {"all": (0, 1, 2), "train": (0,), "val": (1,), "test": (2,)}
"""CelebA's own partitions by the name that `source.split` gives them."""


DATASETS = {"aligned": "celeba", "hq": "celeba-hq"}
"""Name of the data set in records and keys, by `source.form`."""

LICENCE = {
    "name": "CelebA agreement: non-commercial research, no redistribution",
    "url": "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
}
"""Written to every record."""


@dataclass
class CelebaSource:
    """`root` holds the annotation files and the pictures; `form` is aligned (178 x 218 px) or hq (1024 px)."""

    root: str
    form: str = field(default="aligned", metadata=one_of(*FORMS))
    split: str = field(default="all", metadata=one_of(*SPLITS))
    max_pixels: int = field(default=50_000_000, metadata=above(0))


@dataclass
class Pairs:
    """At most `max_per_identity` pairs a person; near-duplicates differ in under `min_hash_distance` bits of 64."""

    max_per_identity: int | None = field(default=8, metadata=above(0))
    min_hash_distance: int = field(default=6, metadata=between(0, 64))


@dataclass
class Zoom:
    """The share of conditions that is zoomed in, and the side of the square in eye distances (see `geometry`)."""

    fraction: float = field(default=0.5, metadata=between(0, 1))
    scale: float = field(default=2.8, metadata=between(1, 4))  # 1: eyes and mouth only; 4: no zoom in CelebA-HQ


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
        if self.captioner.name not in CAPTIONERS:
            yield f"captioner={self.captioner.name} is none of {', '.join(CAPTIONERS)}"
        if self.captioner.name == "template" and "{objects}" not in (self.captioner.template or ""):
            yield f"captioner.template={self.captioner.template!r} must hold {{objects}}"
