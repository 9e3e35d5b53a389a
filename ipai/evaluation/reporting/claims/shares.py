"""Shares of answers in which the oracles find the condition's factor, and their differences."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

from ipai.evaluation.layout import FOLDER
from ipai.evaluation.reporting.comparing import CONFIDENCE, read_evaluation

TELLING = {
    "copy": ("scenes", "place"),
    "style": ("scenes", "style"),
    "object": ("scenes", "colour"),
    "structure": ("scenes", "place"),
    "face": ("portraits", "hair_colour"),
}
"""Task -> kind of picture and the factor that says most clearly whether the task was heard."""


@dataclass(frozen=True)
class Share:
    """A share of n answers.

    Attributes:
        mean: The share.
        n: Of how many.
    """

    mean: float
    n: float

    @property
    def error(self) -> float:
        """The standard error of Agresti and Coull (1998), which is above 0 for shares of 0 and 1 too."""
        middle = (self.mean * self.n + 2) / (self.n + 4)
        return math.sqrt(middle * (1 - middle) / (self.n + 4))

    def __str__(self) -> str:
        return f"{100 * self.mean:.0f} ± {100 * self.error:.0f} %"

    def above(self, other: "Share", tests: int = 1) -> tuple[float, float]:
        """By how much this one is above another, and half the width of a 95 % interval of that.

        As if the two were independent; the same conditions and noises were asked, so the interval is rather too wide.

        Args:
            other: The other one.
            tests: How many such intervals shall all hold at once (Bonferroni).
        """
        errors = NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / 2 / tests)
        return self.mean - other.mean, errors * math.hypot(self.error, other.error)


def share_in(scores: dict[str, Any], kind: str, task: str, factor: str) -> Share | None:
    """What `scores.json` says of a factor; None where it was not scored."""
    tables: dict[str, Any] = (scores["oracles"] or {"tables": {}})["tables"]
    found = (tables.get(kind, {}).get(task, {}).get(factor) or {}).get("taken")
    return None if found is None else Share(found["mean"], found["n"])


def share_of_runs(runs: Sequence[Path], kind: str, task: str, factor: str, wordings: str = "") -> Share | None:
    """The mean over runs that differ in their training seed; None where one was not scored.

    All of them answer the same conditions, so several runs make its error no smaller than one.

    Args:
        runs: Their folders.
        kind: Of picture.
        task: Whose instructions are asked.
        factor: Of the condition.
        wordings: Of the evaluation; empty for the run's own.
    """
    found = [share_in(read_evaluation(run / FOLDER / wordings)[0], kind, task, factor) for run in runs]
    known = [share for share in found if share is not None]
    if len(known) < len(runs):
        return None
    return Share(*(sum(part) / len(known) for part in zip(*((one.mean, one.n) for one in known), strict=True)))
