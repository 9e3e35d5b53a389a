"""A shuffle in windows: every sample once an epoch, few shards at a time, the same wherever it is computed."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipai.data.order import SampleOrder
from ipai.data.shard_shuffle import ShardWindows


@given(
    counts=st.lists(st.integers(0, 9), min_size=1, max_size=8).filter(any),
    window=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_each_sample_comes_once_an_epoch(counts: list[int], window: int, seed: int) -> None:
    windows = ShardWindows(counts, window, seed, "style")
    for epoch in range(2):
        assert sorted(windows.at(epoch, place) for place in range(sum(counts))) == list(range(sum(counts)))


def test_a_window_holds_no_more_shards_than_it_may() -> None:
    windows = ShardWindows([10] * 12, 3, 0, "style")
    shards = [windows.at(0, place) // 10 for place in range(120)]
    for start in range(0, 120, 30):
        assert len(set(shards[start : start + 30])) == 3
    assert shards != sorted(shards)


def test_epochs_and_seeds_differ_and_a_copy_does_not() -> None:
    windows = ShardWindows([10] * 6, 2, 0, "style")
    first = [windows.at(0, place) for place in range(60)]
    copy = pickle.loads(pickle.dumps(windows))
    assert [copy.at(0, place) for place in range(60)] == first
    assert [windows.at(1, place) for place in range(60)] != first
    assert [ShardWindows([10] * 6, 2, 1, "style").at(0, place) for place in range(60)] != first


@pytest.mark.parametrize("batch_size", [5, 8])
def test_an_order_draws_from_windows(batch_size: int) -> None:
    windows = {"style": ShardWindows([10] * 4, 2, 0, "style")}
    order = SampleOrder(0, batch_size, {"style": 40}, {"style": 1.0}, windows)
    drawn = [order.at(n // batch_size, n % batch_size).index for n in range(40)]
    assert sorted(drawn) == list(range(40))
    assert len({index // 10 for index in drawn}) == 4
