"""Pictures side by side: condition, answer and target of the first samples of a task."""

import io
from collections.abc import Sequence
from itertools import islice

from PIL import Image

from ipai.data.images import square_box
from ipai.evaluation.parts import Part, read_part
from ipai.evaluation.questions import HeldOut, Question
from ipai.pipeline.grid import grid

HEADS = ("condition", "generated", "target")


def answers(parts: Sequence[Part], count: int) -> list[tuple[Question, list[Image.Image]]]:
    """The first `count` questions of some parts with condition, answer and target, all as large as the answer.

    Raises:
        DataError: A picture is missing or damaged.
    """
    shown = []
    drawn = ((part, *one) for part in parts for one in read_part(part))
    for part, question, content in islice(drawn, count):
        assert isinstance(part.source, HeldOut)
        picture = Image.open(io.BytesIO(content)).convert("RGB")
        condition, target = part.source.condition(question), part.source.target(question)
        shown.append((question, [_square(condition, picture.size), picture, _square(target, picture.size)]))
    return shown


def task_grids(parts: Sequence[Part], count: int) -> dict[str, Image.Image]:
    """One picture a task, with instruction and prompt above each row."""
    by_task: dict[str, list[Part]] = {}
    for part in parts:
        by_task.setdefault(part.source.name, []).append(part)
    result = {}
    for task, own in by_task.items():
        shown = answers(own, count)
        names = [f"{question.instruction} | {question.prompt}" for question, _ in shown]
        result[task] = grid([row for _, row in shown], names, list(HEADS))
    return result


def _square(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    return picture.crop(square_box(picture)).resize(size, Image.Resampling.BICUBIC)
