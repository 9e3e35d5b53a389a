"""Runs side by side, as Markdown and as a page."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ipai.evaluation.reporting.comparing import (
    Difference,
    Line,
    columns,
    corrected,
    difference,
    paper_rows,
    paper_source,
)
from ipai.evaluation.reporting.table import markdown, number, warnings
from ipai.evaluation.scoring.statistics import SCORES
from ipai.pages import render_page

_NOTE = (
    "Mean of the paired differences [95 % bootstrap interval] and d, the mean in standard deviations of the "
    "differences; bold where there is a difference, corrected for the number of columns (Holm, paired t-tests, 5 %)."
)
_FEW = "Too few held-out samples to see a difference of 1 % (80 % power):"


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Attributes:
        warnings: What must be known of all numbers.
        heads: Of the columns after the runs' names.
        rows: Name, samples seen, and means of each run.
        paper: The paper's rows.
        source: Where those are from.
        reference: The first run's name.
        gains: Of each other run, by how much the reference is above it, and whether that is clear.
        few: Columns with too few samples to see a difference of 1 %.
    """

    warnings: list[str]
    heads: list[str]
    rows: list[tuple[str, str, list[str]]]
    paper: list[tuple[str, list[str]]]
    source: str
    reference: str
    gains: list[tuple[str, list[tuple[str, bool]]]]
    few: list[str]

    def markdown(self) -> str:
        """Table 1 with the paper's rows below, then the first run against each of the others."""
        rows = [[name, seen, *cells] for name, seen, cells in self.rows]
        rows += [
            [f"*the paper's {name}*", "", *(f"*{cell}*" if cell else "" for cell in of)] for name, of in self.paper
        ]
        text = ["# Comparison", "", *(f"**{warning}**\n" for warning in self.warnings)]
        text += [*markdown(["", "samples seen", *self.heads], rows), ""]
        text += [f"Means ± standard errors. In italics: {self.source}."]
        if self.gains:
            gains = [[name, *(f"**{cell}**" if clear else cell for cell, clear in of)] for name, of in self.gains]
            text += ["", f"## {self.reference} minus the others", "", *markdown(["", *self.heads], gains), "", _NOTE]
        if self.few:
            text += ["", f"{_FEW} {'; '.join(self.few)}."]
        return "\n".join(text) + "\n"

    def page(self) -> str:
        """The same as a page."""
        return render_page("comparison.html.jinja", note=_NOTE, few_note=_FEW, **vars(self))


def compared(lines: Sequence[Line], seed: int = 0) -> Comparison:
    """The runs' means, and the paired differences of the first to the others.

    Args:
        lines: Of the runs, the reference first.
        seed: Of the bootstrap.
    """
    shown = [(task, score) for task, score in columns() if any(task in line.scores for line in lines)]
    gains = []
    few: dict[str, tuple[int, int]] = {}
    for line in lines[1:]:
        found = [difference(lines[0], line, task, score, seed) for task, score in shown]
        if any(found):
            gains.append((line.name, [(_cell(one), sure) for one, sure in zip(found, corrected(found), strict=True)]))
        for (task, score), one in zip(shown, found, strict=True):
            if one is not None and one.needed is not None and one.n < one.needed:
                name = f"{task} {SCORES[score]}"
                few[name] = max(few.get(name, (0, 0)), (one.needed, one.n))
    return Comparison(
        warnings=warnings(next(iter(lines[0].scores.values()))),
        heads=[f"{task} {SCORES[score]}" for task, score in shown],
        rows=[
            (line.name, f"{line.samples_seen:,}", [number(_mean(line, task, score)) for task, score in shown])
            for line in lines
        ],
        paper=[
            (name, [f"{of[task][score]:.4f}" if task in of else "" for task, score in shown])
            for name, of in paper_rows().items()
        ],
        source=paper_source(),
        reference=lines[0].name,
        gains=gains,
        few=[f"{name} has {n:,} of {needed:,}" for name, (needed, n) in few.items()],
    )


def as_data(lines: Sequence[Line], seed: int = 0) -> dict[str, Any]:
    """The same numbers for programs."""
    against = {
        line.name: {
            f"{task}/{score}": asdict(found)
            for task, score in columns()
            if (found := difference(lines[0], line, task, score, seed)) is not None
        }
        for line in lines[1:]
    }
    return {
        "lines": {
            line.name: {
                "samples_seen": line.samples_seen,
                "scores": {
                    f"{task}/{score}": _mean(line, task, score)
                    for task, score in columns()
                    if _mean(line, task, score) is not None
                },
            }
            for line in lines
        },
        "reference": lines[0].name,
        "reference_minus": against,
        "paper": {"source": paper_source(), "rows": paper_rows()},
    }


def _mean(line: Line, task: str, score: str) -> dict[str, Any] | None:
    of = line.scores.get(task)
    found: dict[str, Any] | None = None if of is None else of["tasks"][task].get(score)
    return found


def _cell(value: Difference | None) -> str:
    if value is None:
        return ""
    interval = "" if value.low is None else f" [{value.low:+.4f}, {value.high:+.4f}]"
    return f"{value.mean:+.4f}{interval}" + ("" if value.effect is None else f", d {value.effect:+.2f}")
