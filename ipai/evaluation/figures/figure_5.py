"""Figure 5: entries of the data sets."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from ipai.data.images import square_box
from ipai.evaluation.figures.plates import plate
from ipai.evaluation.sampling.eval_samples import HeldOut


def data_entries(root: Path, templates: Mapping[str, Sequence[str]], count: int, seed: int) -> Figure:
    """`count` held-out samples a task: instruction and prompt, condition, target.

    Raises:
        DataError: A task has no shards, or a picture cannot be used.
    """
    rows: list[tuple[str, list[Image.Image | None]]] = []
    for task, texts in templates.items():
        source = HeldOut(root, task, texts, count, seed, 1)
        for question in source.questions:
            pictures = [source.condition(question), source.target(question)]
            squares: list[Image.Image | None] = [picture.crop(square_box(picture)) for picture in pictures]
            rows.append((f"{task}: {question.instruction} | {question.prompt}", squares))
    return plate(rows, ["condition", "target"])
