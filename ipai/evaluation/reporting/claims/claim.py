"""A claim, its answer, and the differences that answers are made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import ttest_ind

from ipai.evaluation.layout import FOLDER
from ipai.evaluation.reporting.comparing import (
    CONFIDENCE,
    Difference,
    Line,
    columns,
    corrected,
    difference,
    read_evaluation,
)
from ipai.evaluation.scoring.statistics import SCORES, by_sample

YES, NO, UNKNOWN, NOT_RUN = "yes", "no", "cannot tell", "not run here"


@dataclass(frozen=True)
class Claim:
    """What the paper says, whether the miniature says so too, and the numbers."""

    text: str
    answer: str
    evidence: str


@dataclass(frozen=True)
class Gap:
    """By how much one line is above another in a column of Table 1, and the other's mean."""

    task: str
    score: str
    difference: Difference
    of: float

    def __str__(self) -> str:
        return f"{self.task} {SCORES[self.score]} {interval(self.difference)}"


class Gaps:
    """Those of all columns that both lines have.

    Args:
        first, second: Lines that were asked the same.

    Attributes:
        all: In the table's order.
        above, below: In which the first is clearly above, or below, corrected for their number.
    """

    def __init__(self, first: Line, second: Line) -> None:
        self.all = [
            Gap(task, score, one, float(np.mean(list(by_sample(second.rows, task, score).values()))))
            for task, score in columns()
            if (one := difference(first, second, task, score)) is not None
        ]
        sure = corrected([gap.difference for gap in self.all])
        clear = [gap for gap, is_clear in zip(self.all, sure, strict=True) if is_clear]
        self.above = [gap for gap in clear if gap.difference.mean > 0]
        self.below = [gap for gap in clear if gap.difference.mean < 0]

    @property
    def answer(self) -> str:
        """Whether the first is better: clearly above somewhere and below nowhere."""
        return UNKNOWN if bool(self.above) == bool(self.below) else YES if self.above else NO

    def __str__(self) -> str:
        counted = f"of {len(self.all)} scores {len(self.above)} clearly above, {len(self.below)} clearly below"
        return counted + "".join(f"; {gap}" for gap in (*self.above, *self.below))


def answer_of(found: Sequence[Difference], wanted: int) -> str:
    """Yes where all intervals lie on the side of zero that is wanted, no where all lie on the other one."""
    if not found:
        return UNKNOWN
    if all(one.clear and one.mean * wanted > 0 for one in found):
        return YES
    return NO if all(one.clear and one.mean * wanted < 0 for one in found) else UNKNOWN


def interval(found: Difference) -> str:
    """A mean difference with its interval."""
    ends = "" if found.low is None else f" [{found.low:+.3f}, {found.high:+.3f}]"
    return f"{found.mean:+.3f}{ends}"


def pooled(name: str, runs: Sequence[Path], wordings: str = "") -> Line:
    """Runs that differ in their training seed as one line, whose scores are means over the seeds.

    Args:
        name: Of the line.
        runs: Run folders.
        wordings: Of the evaluation; empty for the run's own.

    Raises:
        DataError: One was not evaluated.
    """
    line = Line(name)
    for run in runs:
        scores, rows = read_evaluation(run / FOLDER / wordings)
        line.scores |= dict.fromkeys(scores["tasks"], scores)
        line.rows += rows
        line.samples_seen += scores["samples_seen"]
    return line


def holds_over_seeds(
    gap: Gap, first: Sequence[Path], second: Sequence[Path], wordings: tuple[str, str], tests: int
) -> bool:
    """Whether a gap is also there between training seeds: Welch's t-test of the seeds' means, 5 %.

    Args:
        gap: Of the two experiments' means.
        first, second: Run folders of both, one for each seed.
        wordings: Of both evaluations, as of `pooled`.
        tests: How many gaps are asked, of which one is enough (Bonferroni).
    """
    means = [
        [read_evaluation(run / FOLDER / told)[0]["tasks"][gap.task][gap.score]["mean"] for run in runs]
        for runs, told in zip((first, second), wordings, strict=True)
    ]
    return bool(ttest_ind(*means, equal_var=False).pvalue < (1 - CONFIDENCE) / tests)
