"""Which annotations become samples. The order of the filters is fixed, because it decides every count.

`FILTERS` judges one annotation by itself; `select` then keeps one object a photograph, needs a caption, and caps the
categories.
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from data_builders.coco.annotations import Instances, Photo
from data_builders.coco.config import ObjectBuild
from data_builders.coco.geometry import borders_touched, target_square
from data_builders.coco.masks import usable
from data_builders.engine.image_files import Box
from data_builders.engine.keyed_hash import rank
from data_builders.engine.licences import is_permissive

# A box may reach this far (px) beyond its photograph; COCO rounds to hundredths.
_BOX_SLACK = 1.0

Annotation = dict[str, Any]
Test = Callable[[Annotation, Photo, ObjectBuild], bool]


@dataclass(frozen=True)
class Candidate:
    """An annotation that passed `FILTERS`."""

    annotation: Annotation
    photo: Photo
    name: str

    @property
    def box(self) -> Box:
        """The object's box, cut to the photograph."""
        return _inside(self.annotation, self.photo)

    @property
    def area(self) -> float:
        """The object's area as annotated, px squared."""
        return float(self.annotation["area"])


Captioner = Callable[[Candidate], str | None]


def _licence(_: Annotation, photo: Photo, config: ObjectBuild) -> bool:
    return config.source.licences == "any" or is_permissive(photo.licence)


def _one_object(annotation: Annotation, _: Photo, __: ObjectBuild) -> bool:
    return annotation.get("iscrowd", 0) == 0


def _segmentation(annotation: Annotation, photo: Photo, _: ObjectBuild) -> bool:
    return usable(annotation.get("segmentation"), photo.width, photo.height) is not None


def _box(annotation: Annotation, photo: Photo, _: ObjectBuild) -> bool:
    box = annotation.get("bbox")
    if (
        not isinstance(box, list)
        or len(box) != 4
        or not all(_is_number(value) for value in [*box, annotation.get("area")])
    ):
        return False
    left, top, width, height = box
    fits_x = left >= -_BOX_SLACK and left + width <= photo.width + _BOX_SLACK
    fits_y = top >= -_BOX_SLACK and top + height <= photo.height + _BOX_SLACK
    return bool(width > 0 and height > 0 and annotation["area"] > 0 and fits_x and fits_y)


def _area(annotation: Annotation, photo: Photo, config: ObjectBuild) -> bool:
    share = annotation["area"] / (photo.width * photo.height)
    return bool(config.filters.min_area <= share <= config.filters.max_area)


def _side(annotation: Annotation, photo: Photo, config: ObjectBuild) -> bool:
    return min(_inside(annotation, photo)[2:]) >= config.filters.min_side


def _fill(annotation: Annotation, photo: Photo, config: ObjectBuild) -> bool:
    _, _, width, height = _inside(annotation, photo)
    return bool(annotation["area"] >= config.filters.min_fill * width * height)


def _borders(annotation: Annotation, photo: Photo, config: ObjectBuild) -> bool:
    box = _inside(annotation, photo)
    return borders_touched(photo.width, photo.height, box, config.filters.border) <= config.filters.max_borders


def _visible(annotation: Annotation, photo: Photo, config: ObjectBuild) -> bool:
    return target_square(photo.width, photo.height, _inside(annotation, photo))[1] >= config.filters.min_visible


FILTERS: tuple[tuple[str, str, Test], ...] = (
    ("licence", "the photograph's licence is not accepted (source.licences)", _licence),
    ("crowd", "it marks a crowd, not one object (iscrowd)", _one_object),
    ("segmentation", "no usable outline: empty, under three points, not finite, far outside", _segmentation),
    ("box", "box or area missing, not finite, not positive, or outside the photograph", _box),
    ("area", "area is not filters.min_area..filters.max_area of the photograph", _area),
    ("side", "shorter side of the box is under filters.min_side px", _side),
    ("fill", "the object fills less than filters.min_fill of its box", _fill),
    ("borders", "comes within filters.border px of more than filters.max_borders borders", _borders),
    ("visible", "the target square would show less than filters.min_visible of the box", _visible),
)
"""Reason, what it means, and the test that an annotation must pass; in the order in which they run."""

REFERENCE = ("reference", "names a photograph or a category that the file does not list")
AFTERWARDS = (
    ("one_per_photo", "another object of the same photograph is larger (of equals the lower id stays)"),
    ("caption", "the photograph has no caption"),
    ("category_cap", "its category has filters.max_per_category others (a keyed draw decides)"),
)


def select(
    instances: Instances, config: ObjectBuild, captioner: Captioner
) -> tuple[list[tuple[Candidate, str]], dict[str, int]]:
    """Every object that becomes a sample, with its caption, and how many each filter dropped, in order."""
    order = [REFERENCE[0], *(name for name, _, _ in FILTERS), *(name for name, _ in AFTERWARDS)]
    drops = Counter(dict.fromkeys(order, 0))
    chosen: list[tuple[Candidate, str]] = []
    for photo_id in sorted(instances.annotations):
        candidates = _passing(instances, photo_id, config, drops)
        if candidates:
            drops["one_per_photo"] += len(candidates) - 1
            largest = max(candidates, key=lambda candidate: (candidate.area, -candidate.annotation["id"]))
            caption = captioner(largest)
            if caption:
                chosen.append((largest, caption))
            else:
                drops["caption"] += 1
    kept = _cap(chosen, config)
    drops["category_cap"] = len(chosen) - len(kept)
    return kept, dict(drops)


def _passing(instances: Instances, photo_id: int, config: ObjectBuild, drops: Counter[str]) -> list[Candidate]:
    passing: list[Candidate] = []
    photo = instances.photos.get(photo_id)
    for annotation in instances.annotations[photo_id]:
        name = instances.names.get(annotation["category_id"])
        if photo is None or name is None:
            drops[REFERENCE[0]] += 1
            continue
        reason = next((reason for reason, _, test in FILTERS if not test(annotation, photo, config)), None)
        if reason is None:
            passing.append(Candidate(annotation, photo, name))
        else:
            drops[reason] += 1
    return passing


def _cap(chosen: list[tuple[Candidate, str]], config: ObjectBuild) -> list[tuple[Candidate, str]]:
    if config.filters.max_per_category is None:
        return chosen
    taken: Counter[str] = Counter()
    kept: list[tuple[Candidate, str]] = []
    for candidate, caption in sorted(chosen, key=lambda item: rank(config.seed, "cap", str(item[0].annotation["id"]))):
        taken[candidate.name] += 1
        if taken[candidate.name] <= config.filters.max_per_category:
            kept.append((candidate, caption))
    return kept


def _inside(annotation: Annotation, photo: Photo) -> Box:
    """The annotation's box, cut to the photograph."""
    left, top, width, height = annotation["bbox"]
    right, bottom = min(left + width, photo.width), min(top + height, photo.height)
    left, top = max(left, 0.0), max(top, 0.0)
    return left, top, right - left, bottom - top


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
