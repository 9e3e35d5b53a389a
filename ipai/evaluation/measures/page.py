"""The agreement as a page of Markdown."""

import math
from collections.abc import Mapping, Sequence

from ipai.evaluation.measures.agreement import Correlation, Line
from ipai.evaluation.measures.measures import WITH_WEIGHTS, Measure
from ipai.pages import render_page


def page(lines: Sequence[Line], measures: Mapping[str, Measure], count: int, clip: str, command: str) -> str:
    """The page.

    Args:
        lines: Of `agreement`.
        measures: Those that were run.
        count: Answers to each task.
        clip: Names the CLIP.
        command: What makes it.
    """
    rows = [
        {
            "asked": f"{line.task}, {line.kind}",
            "measure": measures[line.measure].called,
            "bold": line.tells_the_truth,
            "taken": _words(line.taken),
            "leaked": "" if line.leaked is None else _words(line.leaked),
        }
        for line in lines
    ]
    waiting = [
        (called, f"`ipai evaluate measures=[{name}]`") for name, called in WITH_WEIGHTS.items() if name not in measures
    ]
    return render_page("measures.md.jinja", count=count, clip=clip, command=command, rows=rows, waiting=waiting)


def _words(of: Correlation) -> str:
    return f"only {of.n} scored" if math.isnan(of.value) else f"{of.value:+.2f} ({of.low:+.2f} to {of.high:+.2f})"
