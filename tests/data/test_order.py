import time
from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ipai.data.order import CYCLE, SampleOrder, cycle_counts
from ipai.errors import DataError

TASKS = ("copy", "style", "face")


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=5))
@example([26.522724346843898, 26.522724346843898, 99.99999999999999, 26.522724346843898, 100.0])
def test_a_cycle_holds_each_task_by_weight(weights: list[float]) -> None:
    named = {f"task{index}": weight for index, weight in enumerate(weights)}
    counts = cycle_counts(named)
    assert sum(counts.values()) == CYCLE
    for name, weight in named.items():
        assert abs(counts[name] - CYCLE * weight / sum(weights)) < 1
    assert cycle_counts(dict(reversed(named.items()))) == counts


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 70), st.integers(1, 64))
def test_an_epoch_holds_each_sample_once(seed: int, size: int, batch_size: int) -> None:
    sizes = {"copy": size, "style": size + 3}
    order = SampleOrder(seed, batch_size, sizes, {"copy": 2.0, "style": 1.0})
    draws = [order.at(n // batch_size, n % batch_size) for n in range(2 * CYCLE)]
    for task in sizes:
        seen = [draw for draw in draws if draw.set_name == task]
        for epoch in range(seen and max(draw.epoch for draw in seen)):  # the last epoch may be cut off
            assert sorted(draw.index for draw in seen if draw.epoch == epoch) == list(range(sizes[task]))


def test_weights_are_exact_in_each_cycle() -> None:
    order = SampleOrder(3, 8, dict.fromkeys(TASKS, 10), {"copy": 1, "style": 2, "face": 1})
    for cycle in range(3):
        steps = range(cycle * CYCLE // 8, (cycle + 1) * CYCLE // 8)
        counts = Counter(order.at(step, slot).set_name for step in steps for slot in range(8))
        assert counts == {"copy": 250, "style": 500, "face": 250}


def test_epochs_and_seeds_differ() -> None:
    order, other = (SampleOrder(seed, 10, {"copy": 10}, {"copy": 1.0}) for seed in (0, 1))
    epochs = [[order.at(step, slot).index for slot in range(10)] for step in range(3)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(10))
    assert epochs[0] != epochs[1] != epochs[2]
    assert epochs[0] != [other.at(0, slot).index for slot in range(10)]


def test_a_late_position_costs_the_same() -> None:
    order = SampleOrder(0, 512, dict.fromkeys(TASKS, 40_000), dict.fromkeys(TASKS, 1.0))

    def seconds(step: int) -> float:
        best = float("inf")
        for _ in range(5):
            began = time.perf_counter()
            for slot in range(100):
                order.at(step, slot)
            best = min(best, time.perf_counter() - began)
        return best

    assert seconds(10_000_000) < 3 * seconds(0) + 0.01


def test_an_empty_task_and_a_vanishing_weight_are_refused() -> None:
    with pytest.raises(DataError, match="face has no samples"):
        SampleOrder(0, 8, {"copy": 3, "face": 0}, {"copy": 1.0, "face": 1.0})
    with pytest.raises(DataError, match="the weight of face is below"):
        SampleOrder(0, 8, {"copy": 3, "face": 3}, {"copy": 1.0, "face": 1e-6})
