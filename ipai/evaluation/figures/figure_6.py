"""Figure 6: the same held-out samples answered by several runs, such as joint and single-task."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from ipai.errors import DataError
from ipai.evaluation.figures.plates import plate
from ipai.evaluation.figures.stored import samples_of, stored_pictures
from ipai.evaluation.layout import FOLDER
from ipai.evaluation.reporting.comparing import read_evaluation
from ipai.tasks import TASKS


def side_by_side(runs: Sequence[Path], root: Path, count: int) -> Figure:
    """Rows of samples: condition, target, then a column for each run; runs of single tasks share one column.

    Raises:
        DataError: A run was not evaluated, or they share no sample.
    """
    single = [run for run in runs[1:] if _experiment(run).startswith("single_")]
    columns = [("joint" if single else runs[0].name, [runs[0]])]
    columns += [(run.name, [run]) for run in runs[1:] if run not in single]
    columns += [("single-task", single)] if single else []
    rows: list[tuple[str, list[Image.Image | None]]] = []
    for task in _tasks(runs[0]):
        answers = [_answers(own, task) for _, own in columns]
        shared = [key for key in answers[0] if all(key in of for of in answers if of)]
        for key in shared[:count]:
            side = answers[0][key].width
            rows.append((task, [*samples_of(root, task).pictures(key, side), *(of.get(key) for of in answers)]))
    if not rows:
        raise DataError("the runs share no evaluated sample; evaluate them with the same seed and limit")
    return plate(rows, ["condition", "target", *(name for name, _ in columns)])


def _experiment(run: Path) -> str:
    return str(read_evaluation(run / FOLDER)[0]["experiment"])


def _tasks(run: Path) -> list[str]:
    evaluated = read_evaluation(run / FOLDER)[0]["tasks"]
    return [task for task in TASKS if task in evaluated]


def _answers(runs: Sequence[Path], task: str) -> dict[str, Image.Image]:
    for run in runs:
        if task in _tasks(run):
            return stored_pictures(run / FOLDER, task)
    return {}
