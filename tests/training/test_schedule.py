import math

import pytest

from ipai.config import TrainConfig
from ipai.training.schedule import learning_rate


def config(**changes: object) -> TrainConfig:
    return TrainConfig(**{"steps": 100, "batch_size": 8, "learning_rate": 0.1, **changes})  # type: ignore[arg-type]


def test_constant_rate_never_changes() -> None:
    assert {learning_rate(config(), step * 8) for step in range(100)} == {0.1}


def test_warm_up_is_linear_and_ends_at_the_rate() -> None:
    rates = [learning_rate(config(warmup_steps=4), step * 8) for step in range(6)]
    assert rates == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.1])


def test_cosine_goes_to_zero_through_half() -> None:
    rates = [learning_rate(config(schedule="cosine"), step * 8) for step in (0, 50, 100)]
    assert rates == pytest.approx([0.1, 0.05, 0.0], abs=1e-12)
    assert learning_rate(config(schedule="cosine"), 25 * 8) == pytest.approx(0.05 * (1 + math.cos(math.pi / 4)))


def test_rate_depends_on_samples_not_on_processes() -> None:
    # Trap: a scheduler that steps once per process decays N times too fast.
    assert learning_rate(config(schedule="cosine"), 400) == learning_rate(
        config(schedule="cosine", micro_batch_size=1), 400
    )
