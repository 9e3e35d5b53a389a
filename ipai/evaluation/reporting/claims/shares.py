"""Shares of answers in which the oracles find the condition's factor, and their differences."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipai.evaluation.layout import FOLDER
from ipai.evaluation.reporting.comparing import read_evaluation

_TWO_SIDED = 1.96  # standard errors, to either side, of a 95 % interval

TELLING = {
    "style": ("scenes", "style"),
    "object": ("scenes", "colour"),
    "structure": ("scenes", "place"),
    "face": ("portraits", "hair_colour"),
}
"""Task -> kind of picture and the factor that says most clearly whether the task was heard."""


@dataclass(frozen=True)
class Share:
    """A share with its standard error."""

    mean: float
    error: float

    def __str__(self) -> str:
        return f"{100 * self.mean:.0f} ± {100 * self.error:.0f} %"

    def above(self, other: "Share") -> tuple[float, float]:
        """By how much this one is above another, and half the width of a 95 % interval of that.

        As if the two were independent; the same conditions and noises were asked, so the interval is rather too wide.
        """
        return self.mean - other.mean, _TWO_SIDED * math.hypot(self.error, other.error)


def share_in(scores: dict[str, Any], kind: str, task: str, factor: str) -> Share | None:
    """What `scores.json` says of a factor; None where it was not scored."""
    tables: dict[str, Any] = (scores["oracles"] or {"tables": {}})["tables"]
    found = (tables.get(kind, {}).get(task, {}).get(factor) or {}).get("taken")
    return None if found is None else Share(found["mean"], found["standard_error"] or 0.0)


def share_of_runs(runs: Sequence[Path], kind: str, task: str, factor: str) -> Share | None:
    """The mean over runs that differ in their training seed; None where one was not scored."""
    found = [share_in(read_evaluation(run / FOLDER)[0], kind, task, factor) for run in runs]
    known = [share for share in found if share is not None]
    if len(known) < len(runs):
        return None
    error = math.hypot(*(share.error for share in known)) / len(known)
    return Share(sum(share.mean for share in known) / len(known), error)
