"""Figure 9: the same conditions under the instructions of every task, and what the baselines make of them."""

from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from ipai.evaluation.figures.plates import plate
from ipai.evaluation.figures.stored import samples_of, stored_pictures
from ipai.evaluation.layout import FOLDER, SCORES
from ipai.evaluation.reporting.comparing import read_evaluation
from ipai.tasks import TASKS

_BASELINES = {"IPAdapter+": "ip_adapter_plus", "InstructPix2Pix": "instruct_pix2pix"}


def one_image_all_instructions(run: Path, root: Path, count: int) -> Figure:
    """A row for each condition: it, then a column for each task's instruction, then the baselines that were evaluated.

    IPAdapter+ hears no instruction; InstructPix2Pix is told that of the first task.

    Raises:
        DataError: The run was not evaluated with `crossed`.
    """
    evaluated = read_evaluation(run / FOLDER)[0]["tasks"]
    tasks = [task for task in TASKS if task in evaluated]
    columns = {task: stored_pictures(run / FOLDER, f"crossed-{task}") for task in tasks}
    for column, folder in _BASELINES.items():
        baseline = run / FOLDER / folder
        if (baseline / SCORES).is_file():
            columns[column] = stored_pictures(baseline, f"crossed-{tasks[0]}")
    names = list(columns[tasks[0]])[:count]
    rows: list[tuple[str, list[Image.Image | None]]] = []
    for name in names:
        task, _, key = name.partition("-")
        condition, _ = samples_of(root, task).pictures(key, columns[tasks[0]][name].width)
        rows.append((f"from the {task} set", [condition, *(of.get(name) for of in columns.values())]))
    return plate(rows, ["condition", *columns])
