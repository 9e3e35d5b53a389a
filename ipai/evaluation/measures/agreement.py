"""How each measure goes along with what was really taken, and with what leaked: rank correlations with intervals."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap, rankdata

from ipai.clip.model import ClipModel
from ipai.evaluation.measures.known_answers import known_answers
from ipai.evaluation.measures.measures import Measure

_RESAMPLES = 1000
_LEVEL = 0.95
_FEWEST = 3


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation with its bootstrap interval.

    Attributes:
        value: -1..1.
        low, high: Of the 95 % interval over pictures.
        n: Pictures.
    """

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Line:
    """One measure on the answers to one task.

    Attributes:
        task, kind: Whose instruction, and what the pictures are of.
        measure: Its name.
        taken: With what was asked for and taken.
        leaked: With what was not asked for and came along; None where a task asks for everything.
    """

    task: str
    kind: str
    measure: str
    taken: Correlation
    leaked: Correlation | None

    @property
    def tells_the_truth(self) -> bool:
        """It rises with what was taken, surely more than with what leaked."""
        leaked = self.leaked.high if self.leaked is not None else 0.0
        return self.taken.low > 0 and self.taken.low > leaked  # of what could not be estimated nothing is said


def agreement(
    questions: Sequence[tuple[str, str]],
    measures: Mapping[str, Measure],
    clip: ClipModel,
    count: int,
    seed: int,
    progress: Callable[[int], object],
) -> list[Line]:
    """Measures on answers to these tasks.

    Args:
        questions: Task and kind of picture.
        measures: By name.
        clip: For the measures that embed.
        count: Answers to each.
        seed: Of answers and intervals.
        progress: Called after each measure of a task.
    """
    lines = []
    for task, kind in questions:
        answers = known_answers(task, kind, count, seed)
        for name, measure in measures.items():
            scores = measure.score(answers, clip)
            leaked = correlation(scores, answers.leaked, seed) if len(answers.leaked) else None
            lines.append(Line(task, kind, name, correlation(scores, answers.taken, seed), leaked))
            progress(1)
    return lines


def correlation(scores: np.ndarray, truth: np.ndarray, seed: int) -> Correlation:
    """Of the pictures whose truth is known and that have the score; NaN where fewer than three have both."""
    known = ~np.isnan(truth) & ~np.isnan(scores)
    scores, truth = scores[known], truth[known]
    if len(scores) < _FEWEST:
        return Correlation(np.nan, np.nan, np.nan, len(scores))
    found = bootstrap(
        (scores, truth), _spearman, paired=True, n_resamples=_RESAMPLES, confidence_level=_LEVEL, method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval  # fmt: skip
    return Correlation(float(_spearman(scores, truth)), float(found.low), float(found.high), len(scores))


def _spearman(left: np.ndarray, right: np.ndarray, axis: int = -1) -> np.ndarray:
    """Along an axis; ties share their rank, and what is constant correlates with nothing."""
    ranks = [rankdata(values, axis=axis) for values in (left, right)]
    left, right = (values - values.mean(axis, keepdims=True) for values in ranks)
    norms = np.sqrt((left**2).sum(axis) * (right**2).sum(axis))
    return np.asarray((left * right).sum(axis) / np.where(norms > 0, norms, 1))
