import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipai.data.counter_rng import KeyedPermutation, keyed_generator


@given(st.integers(1, 3000), st.integers(0, 2**40))
def test_every_element_occurs_once(n: int, key: int) -> None:
    permutation = KeyedPermutation(n, key)
    assert sorted(permutation[index] for index in range(n)) == list(range(n))


def test_keys_choose_different_permutations_that_look_random() -> None:
    orders = [[KeyedPermutation(1000, key)[index] for index in range(1000)] for key in range(20)]
    assert len({tuple(order) for order in orders}) == 20
    fixed_points = np.mean([sum(i == value for i, value in enumerate(order)) for order in orders])
    assert 0.2 < fixed_points < 2.5  # one is expected of a random permutation
    steps = np.abs(np.diff(np.array(orders), axis=1)).mean()
    assert 300 < steps < 367  # a third of the range is expected


def test_values_are_the_same_on_every_machine() -> None:
    assert [KeyedPermutation(10, 7, "a")[index] for index in range(10)] == [6, 3, 2, 7, 4, 9, 0, 1, 8, 5]
    assert keyed_generator(1, "noise", 2, 3).integers(0, 10**9, 3).tolist() == [353161261, 12197611, 837607240]


def test_outside_the_range_is_refused() -> None:
    with pytest.raises(IndexError):
        KeyedPermutation(3, 0)[3]


def test_streams_and_positions_are_independent() -> None:
    draws = {
        (seed, stream, step, slot): keyed_generator(seed, stream, step, slot).standard_normal()
        for seed in (0, 1)
        for stream in ("noise", "drop")
        for step in (0, 1)
        for slot in (0, 1)
    }
    assert len(set(draws.values())) == len(draws)
    assert draws[0, "noise", 1, 0] == keyed_generator(0, "noise", 1, 0).standard_normal()


def test_a_long_draw_does_not_run_into_the_next_slot() -> None:
    long = keyed_generator(0, "noise", 0, 0).standard_normal(20_000)
    assert not np.isin(keyed_generator(0, "noise", 0, 1).standard_normal(4), long).any()
