"""The agreement as a page of Markdown."""

from collections.abc import Sequence

from ipai.evaluation.measures.agreement import Correlation, Line
from ipai.evaluation.measures.measures import MEASURES, NEED_WEIGHTS
from ipai.pages import render_page


def page(lines: Sequence[Line], count: int, clip: str, command: str) -> str:
    """The page.

    Args:
        lines: Of `agreement`.
        count: Answers to each task.
        clip: Names the CLIP.
        command: What makes it.
    """
    rows = [
        {
            "asked": f"{line.task}, {line.kind}",
            "measure": MEASURES[line.measure].called,
            "bold": line.tells_the_truth,
            "taken": _words(line.taken),
            "leaked": "" if line.leaked is None else _words(line.leaked),
        }
        for line in lines
    ]
    return render_page("measures.md.jinja", count=count, clip=clip, command=command, rows=rows, waiting=NEED_WEIGHTS)


def _words(of: Correlation) -> str:
    return f"{of.value:+.2f} ({of.low:+.2f} to {of.high:+.2f})"
