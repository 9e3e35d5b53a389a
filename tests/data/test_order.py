import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ipai.data.order import CYCLE, BucketedOrder, Draw, SampleOrder, cycle_counts
from ipai.data.shard_shuffle import ShardWindows
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


@settings(max_examples=20)
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


MEMBERS = {
    "copy": {0: np.array([0, 2, 5]), 1: np.array([1, 3, 4, 6, 7, 8])},
    "style": {0: np.arange(12)},
    "face": {2: np.array([0, 1])},
}


def bucketed(seed: int = 0, batch_size: int = 8) -> BucketedOrder:
    return BucketedOrder(seed, batch_size, MEMBERS, {"copy": 2.0, "style": 1.0, "face": 0.01}, {})


def size_of(draw: Draw) -> int:
    return next(number for number, held in MEMBERS[draw.set_name].items() if draw.index in held)


def test_a_steps_samples_have_one_size() -> None:
    order = bucketed()
    sizes = [{size_of(order.at(step, slot)) for slot in range(8)} for step in range(CYCLE)]
    assert all(len(found) == 1 for found in sizes)
    assert set.union(*sizes) == {0, 1, 2}


def test_sizes_change_neither_the_weights_nor_how_often_a_sample_is_drawn() -> None:
    order = bucketed()
    draws = Counter((draw.set_name, draw.index) for step in range(4 * CYCLE) for draw in [order.at(step, 0)])
    by_set = Counter(name for name, _ in draws.elements())
    assert by_set["copy"] / by_set["style"] == pytest.approx(2, rel=0.1)
    each = [draws["copy", index] for index in range(9)]
    assert max(each) < 1.35 * min(each)


def test_a_sizes_epoch_holds_each_of_its_samples_once() -> None:
    order = bucketed(batch_size=3)
    draws = [order.at(step, slot) for step in range(CYCLE) for slot in range(3)]
    for epoch in range(3):
        seen = [draw.index for draw in draws if draw.set_name == "copy" and draw.epoch == epoch]
        assert sorted(seen) == list(range(9))


def test_bucketed_order_is_a_function_of_the_place() -> None:
    first, again, other = bucketed(), bucketed(), bucketed(seed=1)
    places = [(step, slot) for step in (0, 17, 10**7) for slot in range(8)]
    assert [first.at(*place) for place in places] == [again.at(*place) for place in reversed(places)][::-1]
    assert [first.at(*place) for place in places] != [other.at(*place) for place in places]


def test_what_comes_to_less_than_a_thousandth_is_not_drawn() -> None:
    members = {
        "copy": {0: np.arange(100_000), 1: np.array([100_000])},
        "style": {0: np.arange(10), 1: np.arange(10, 99)},
    }
    order = BucketedOrder(0, 4, members, {"copy": 1.0, "style": 1e-2}, {})
    draws = Counter((draw.set_name, draw.index) for step in range(CYCLE) for draw in [order.at(step, 0)])
    assert ("copy", 100_000) not in draws
    assert {name for name, _ in draws} == {"copy", "style"}
    with pytest.raises(DataError, match="the weight of style is below"):
        BucketedOrder(0, 4, members, {"copy": 1.0, "style": 1e-5}, {})


def test_windows_keep_to_the_samples_of_a_size() -> None:
    members = {"copy": {0: np.arange(0, 40, 2), 1: np.arange(1, 40, 2)}}
    windows = {number: {"copy": ShardWindows([5, 0, 5, 10], 2, 0, "copy")} for number in (0, 1)}
    order = BucketedOrder(0, 4, members, {"copy": 1.0}, windows)
    drawn = Counter(order.at(step, slot).index for step in range(CYCLE) for slot in range(4))
    assert drawn.keys() == set(range(40))
    assert max(drawn.values()) - min(drawn.values()) <= 1
