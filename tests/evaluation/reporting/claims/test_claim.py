"""What answers are made of."""

from pathlib import Path

import pytest

from ipai.evaluation.layout import FOLDER
from ipai.evaluation.reporting.claims.claim import NO, UNKNOWN, YES, Gaps, answer_of, holds_over_seeds, pooled
from ipai.evaluation.reporting.comparing import Difference
from tests.helpers.evaluations import write_evaluation


@pytest.mark.parametrize(
    ("intervals", "answer"),
    [
        ([(-3, -1), (-2, -1)], YES),
        ([(1, 2)], NO),
        ([(-3, -1), (-1, 1)], UNKNOWN),
        ([(-3, -1), (1, 2)], UNKNOWN),
        ([], UNKNOWN),
    ],
)
def test_an_answer_needs_every_interval_on_one_side(intervals: list[tuple[float, float]], answer: str) -> None:
    found = [Difference((low + high) / 2, low, high, 10) for low, high in intervals]
    assert answer_of(found, wanted=-1) == answer


@pytest.mark.parametrize(("gains", "holds"), [((0.01, 0.02, 0.015), True), ((0.0, 0.12, 0.06), False)])
def test_a_gap_over_samples_may_be_one_seed_s_luck(gains: tuple[float, ...], holds: bool, tmp_path: Path) -> None:
    runs: dict[str, list[Path]] = {"first": [], "second": []}
    for seed, (better, worse) in enumerate(zip((0.1, 0.11, 0.105), gains, strict=True)):
        for name, gain in (("first", better), ("second", worse)):
            runs[name].append(tmp_path / f"{name}-{seed}")
            write_evaluation(runs[name][-1] / FOLDER, ("object",), gain)
    gaps = Gaps(*(pooled(name, each) for name, each in runs.items()))
    assert [gap.score for gap in gaps.above] == ["clip_i"]
    assert gaps.answer == YES
    assert holds_over_seeds(gaps.above[0], runs["first"], runs["second"], ("", ""), tests=2) == holds
