"""Condition, answer and target of the first samples of each task, side by side."""

import io
from collections.abc import Sequence
from itertools import islice

from PIL import Image

from ipai.data.images import square_box
from ipai.evaluation.sampling.eval_samples import EvalSample, HeldOut
from ipai.evaluation.sampling.image_shards import Part, read_part

HEADS = ("condition", "generated", "target")
Answer = tuple[EvalSample, list[Image.Image]]
"""A question and the pictures that `HEADS` names, all as large as the generated one."""


def answers_by_task(parts: Sequence[Part], count: int) -> dict[str, list[Answer]]:
    """The first `count` answers of each task.

    Raises:
        DataError: A picture is missing or damaged.
    """
    by_task: dict[str, list[Part]] = {}
    for part in parts:
        by_task.setdefault(part.source.name, []).append(part)
    return {task: _answers(own, count) for task, own in by_task.items()}


def _answers(parts: Sequence[Part], count: int) -> list[Answer]:
    shown = []
    drawn = ((part, *one) for part in parts for one in read_part(part))
    for part, question, content in islice(drawn, count):
        assert isinstance(part.source, HeldOut)
        picture = Image.open(io.BytesIO(content)).convert("RGB")
        condition, target = part.source.condition(question), part.source.target(question)
        shown.append((question, [_square(condition, picture.size), picture, _square(target, picture.size)]))
    return shown


def _square(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    return picture.crop(square_box(picture)).resize(size, Image.Resampling.BICUBIC)
