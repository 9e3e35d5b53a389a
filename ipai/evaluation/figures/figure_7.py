"""Figure 7: scores against samples seen, from the checkpoints of several runs that were evaluated."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from ipai.errors import DataError
from ipai.evaluation.layout import FOLDER, SCORES
from ipai.evaluation.reporting.comparing import read_evaluation
from ipai.evaluation.scoring.statistics import SCORES as NAMES


def scores_over_training(runs: Sequence[Path], wanted: Sequence[str]) -> Figure:
    """A panel for each score, a line for each run with bands of one standard error.

    Args:
        runs: Run folders.
        wanted: `<task>/<score>`.

    Raises:
        DataError: A run has fewer than two evaluated checkpoints, or nothing of what is wanted.
    """
    columns = min(len(wanted), 2)
    lines = -(-len(wanted) // columns)
    figure = Figure(figsize=(3.2 * columns, 2.4 * lines), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).flatten()
    evaluated = {run.name: evaluated_checkpoints(run) for run in runs}
    for axes, one in zip(panels, wanted, strict=False):
        task, score = one.split("/")
        for name, points in evaluated.items():
            _line(axes, name, [(of["samples_seen"], of["tasks"][task][score]) for of in points if task in of["tasks"]])
        axes.set_xlabel("samples seen", fontsize=8)
        axes.set_title(f"{task}: {NAMES.get(score, score)}", fontsize=9)
        axes.tick_params(labelsize=7)
        if not axes.has_data():
            raise DataError(f"none of the runs was evaluated for {one}")
    for axes in panels[: len(wanted) : columns]:  # the runs of a task are not those of another
        axes.legend(fontsize=7)
    for axes in panels[len(wanted) :]:
        axes.set_axis_off()
    return figure


def evaluated_checkpoints(run: Path) -> list[dict[str, Any]]:
    """scores.json of the run's start, its checkpoints and its end, by samples seen.

    Raises:
        DataError: There are fewer than two.
    """
    folders = [run / FOLDER, run / FOLDER / "start", *sorted((run / FOLDER).glob("step-" + "[0-9]" * 8))]
    found: dict[int, dict[str, Any]] = {}
    for folder in folders:
        if (folder / SCORES).is_file():
            scores, _ = read_evaluation(folder)
            found.setdefault(scores["samples_seen"], scores)
    if len(found) < 2:
        raise DataError(
            f"{run} has {len(found)} evaluated checkpoints, and a curve needs two; evaluate more with "
            f"python scripts/evaluate.py checkpoint={run}/checkpoints/step-..., and weights=start for its beginning"
        )
    return [found[seen] for seen in sorted(found)]


def _line(axes: Any, name: str, points: Sequence[tuple[int, dict[str, Any]]]) -> None:
    if not points:
        return
    seen = [place for place, _ in points]
    means = [value["mean"] for _, value in points]
    errors = [value["standard_error"] or 0.0 for _, value in points]
    (line,) = axes.plot(seen, means, marker="o", markersize=3, label=name)
    low, high = ([mean + sign * error for mean, error in zip(means, errors, strict=True)] for sign in (-1, 1))
    axes.fill_between(seen, low, high, alpha=0.2, color=line.get_color(), linewidth=0)
