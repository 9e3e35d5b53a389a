"""A comparison as Markdown."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ipai.evaluation.reporting.comparing import Difference, Line, columns, difference, paper_rows, paper_source
from ipai.evaluation.reporting.table import markdown, number, warnings
from ipai.evaluation.scoring.statistics import SCORES


def comparison(lines: Sequence[Line], seed: int = 0) -> str:
    """Table 1 of the lines with the paper's rows below, then the first line against each of the others."""
    any_scores = next(iter(lines[0].scores.values()))
    shown = [(task, score) for task, score in columns() if any(task in line.scores for line in lines)]
    heads = ["", "samples seen", *(f"{task} {SCORES[score]}" for task, score in shown)]
    text = ["# Comparison", "", *(f"**{warning}**\n" for warning in warnings(any_scores))]
    rows = [
        [line.name, f"{line.samples_seen:,}", *(number(_mean(line, task, score)) for task, score in shown)]
        for line in lines
    ]
    rows += [
        [f"*the paper's {name}*", "", *(f"*{of[task][score]:.4f}*" if task in of else "" for task, score in shown)]
        for name, of in paper_rows().items()
    ]
    text += [*markdown(heads, rows), "", f"Means ± standard errors. In italics: {paper_source()}."]
    others = [line for line in lines[1:] if any(difference(lines[0], line, *one) for one in shown)]
    if others:
        text += ["", f"## {lines[0].name} minus the others", "", *_differences(lines[0], others, shown, seed)]
    return "\n".join(text) + "\n"


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


def _differences(first: Line, others: Sequence[Line], shown: Sequence[tuple[str, str]], seed: int) -> list[str]:
    heads = ["", *(f"{task} {SCORES[score]}" for task, score in shown)]
    rows = [[line.name, *(_cell(difference(first, line, task, score, seed)) for task, score in shown)]
            for line in others]  # fmt: skip
    note = "Mean of the paired differences [95 % bootstrap interval]; bold where the interval leaves out zero."
    return [*markdown(heads, rows), "", note]


def _cell(value: Difference | None) -> str:
    if value is None:
        return ""
    interval = "" if value.low is None else f" [{value.low:+.4f}, {value.high:+.4f}]"
    text = f"{value.mean:+.4f}{interval}"
    return f"**{text}**" if value.clear else text
