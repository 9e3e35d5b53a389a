"""Which micro-batch fits, and what is said where none does."""

import pytest
import torch

from ipai.backbones.families import find_networks
from ipai.conditioning import spec_of
from ipai.errors import ConfigError
from ipai.training.batching import Batching
from ipai.training.memory import StepMemory, traced
from ipai.training.micro_batch import CONTEXT, SHARE, fitting, fitting_in, largest, too_small
from ipai.training.run import make_accelerator
from tests.helpers.composing import compose

GIB = 1 << 30


def memory_for(count: int, of_one: StepMemory, of_two: StepMemory) -> int:
    """What a device must have so that so many samples fit just."""
    needed = of_one.total + (count - 1) * (of_two.step - of_one.step)
    return CONTEXT + int(needed / SHARE) + 1


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_the_largest_divisor_that_fits_is_taken(count: int) -> None:
    one, two = StepMemory(4 * GIB, GIB, 2 * GIB), StepMemory(4 * GIB, GIB, 3 * GIB)
    enough = memory_for(count, one, two)
    assert largest(one, two, enough, share=8) == count
    assert largest(one, two, enough - GIB, share=8) == count // 2  # 0 where not even one does
    assert largest(one, two, enough, share=count * 3) == count


def test_it_never_takes_more_than_there_are() -> None:
    one, two = StepMemory(GIB, GIB, GIB), StepMemory(GIB, GIB, 2 * GIB)
    assert largest(one, two, 1000 * GIB, share=12) == 12


def test_where_the_first_two_grow_by_nothing_the_share_is_tried() -> None:
    alike = StepMemory(GIB, GIB, GIB)
    assert largest(alike, alike, 8 * GIB, share=8) == 8


@pytest.mark.slow
def test_a_traced_step_bounds_it() -> None:
    config = compose(
        "data.root=none", "base=micro", "recipe=smoke", "train.batch_size=64", "train.micro_batch_size=auto"
    )
    found = find_networks(config.base)
    spec = spec_of(config.adapter, config.base, found.dims)
    needs = traced(config, found, spec)
    of = {count: needs(torch.float32, count, True) for count in (1, 2, 16)}
    memory = memory_for(16, of[1], of[2])
    assert fitting_in(needs, torch.float32, memory, 64) == 16
    assert of[16].total == pytest.approx(SHARE * (memory - CONTEXT), rel=0.02)


def test_without_a_gpu_a_number_is_needed() -> None:
    config = compose("data.root=none", "base=micro", "recipe=smoke", "train.micro_batch_size=auto")
    with pytest.raises(ConfigError, match="there is none; give a number"):
        fitting(config, make_accelerator(config))
    assert Batching.of(config.train, make_accelerator(config)).accumulation == 1


def test_another_word_is_refused() -> None:
    with pytest.raises(ConfigError, match="micro_batch_size=most must be a number above 0, null or auto"):
        compose("data.root=none", "train.micro_batch_size=most")
    with pytest.raises(ConfigError, match="must be above 0"):
        compose("data.root=none", "train.micro_batch_size=0")


def test_what_does_not_fit_is_told_with_the_ways_out() -> None:
    message = too_small(StepMemory(20 * GIB, 5 * GIB, 3 * GIB), 24 * GIB)
    assert "needs about 28.0 GiB" in message
    assert "train.gradient_checkpointing=true" in message
