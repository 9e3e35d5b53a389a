"""Shares and their errors."""

from statistics import NormalDist

import pytest

from ipai.evaluation.reporting.claims.shares import Share


def test_its_error_is_that_of_the_binomial_and_never_none() -> None:
    assert Share(0.5, 10_000).error == pytest.approx(0.005, rel=1e-3)
    assert Share(0.0, 50).error == pytest.approx(Share(1.0, 50).error)
    assert Share(0.0, 50).error > 0.02
    assert str(Share(0.25, 96)) == "25 ± 4 %"


def test_the_interval_of_a_difference_covers_it_as_often_as_it_says() -> None:
    gap, half = Share(0.6, 396).above(Share(0.5, 396))
    assert gap == pytest.approx(0.1)
    assert half == pytest.approx(NormalDist().inv_cdf(0.975) * (0.6 * 0.4 / 400 + 0.25 / 400) ** 0.5, rel=0.01)
    assert Share(0.6, 396).above(Share(0.5, 396), tests=4)[1] / half == pytest.approx(2.498 / 1.96, rel=1e-3)
