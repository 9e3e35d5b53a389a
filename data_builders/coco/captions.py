"""Captions of the target before it is read: COCO's own, or a sentence made of the categories in the picture.

Those of captioner=openai come when it is read (`data_builders.captions`).
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from data_builders.captions.captioner import ModelCaptioner
from data_builders.coco.annotations import Instances, load_captions
from data_builders.coco.config import ObjectBuild
from data_builders.coco.filters import Candidate, Captioner
from data_builders.coco.geometry import target_square
from data_builders.coco.words import counted, names, with_article
from ipai.words import listed, one_line

# A sentence that names more kinds than this reads as an inventory.
_MOST_KINDS = 4


def create_captioner(config: ObjectBuild, instances: Instances, model: ModelCaptioner | None) -> Captioner:
    """The captioner that the settings name; where a language model writes the captions, what identifies its question.

    Raises:
        DataError: captioner=dataset, and the captions file is missing or damaged.
    """
    if model is not None:
        question = model.kind  # in the records, so that another prompt or model is another plan
        return lambda _: question
    if config.captioner.name == "dataset":
        captions = load_captions(config.source)
        return lambda candidate: one_line(_of_object(captions.get(candidate.photo.id, []), candidate.name))
    template = config.captioner.template or ""
    return lambda candidate: one_line(template.replace("{objects}", _objects(candidate, instances)))


def _of_object(captions: Sequence[str], name: str) -> str:
    """The first of a photograph's captions that names the object, else the first."""
    return next((caption for caption in captions if names(caption, name)), captions[0] if captions else "")


def condition_caption(name: str) -> str:
    """What the condition shows: `a photo of an apple`."""
    return f"a photo of {with_article(name)}"


def _objects(candidate: Candidate, instances: Instances) -> str:
    """The kinds of objects whose middle lies in the target square, the sample's own first, then the largest."""
    photo = candidate.photo
    (left, top, side), _ = target_square(photo.width, photo.height, candidate.box)
    count: dict[str, int] = defaultdict(int, {candidate.name: 1})
    area: dict[str, float] = defaultdict(float, {candidate.name: float("inf")})
    for annotation in instances.annotations[photo.id]:
        name = instances.names.get(annotation["category_id"])
        box = _box(annotation.get("bbox"))
        if name is None or annotation is candidate.annotation or annotation.get("iscrowd") or box is None:
            continue
        if 0 <= box[0] + box[2] / 2 - left < side and 0 <= box[1] + box[3] / 2 - top < side:
            count[name] += 1
            area[name] += box[2] * box[3]
    kinds = sorted(count, key=lambda name: (-area[name], name))[:_MOST_KINDS]
    return listed([counted(name, count[name]) for name in kinds])


def _box(value: Any) -> list[float] | None:
    numbers = isinstance(value, list) and len(value) == 4 and all(isinstance(number, int | float) for number in value)
    return value if numbers else None
