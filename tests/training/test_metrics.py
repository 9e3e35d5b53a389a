import math

import pytest
import torch

from ipai.tasks import TASKS, task_index
from ipai.training.metrics import Accumulator

CPU = torch.device("cpu")


def add(metrics: Accumulator, step: int, errors: list[float], tasks: list[str], timesteps: list[int]) -> None:
    metrics.add_loss(
        step,
        torch.arange(len(errors)),
        torch.tensor(errors),
        torch.tensor([task_index(task) for task in tasks]),
        torch.tensor(timesteps) / 1000,
    )


def test_means_by_task_and_timestep() -> None:
    metrics = Accumulator(CPU, 3, 1000)
    add(metrics, 0, [1.0, 3.0, 8.0], ["style", "style", "face"], [0, 99, 950])
    metrics.add_gradient(0, torch.tensor(2.0))
    values = metrics.read().values
    assert values["loss/train"] == 4
    assert values["loss/task/style"] == 2
    assert values["loss/task/face"] == 8
    assert values["loss/timestep/0000"] == 2
    assert values["loss/timestep/0900"] == 8
    assert values["optimizer/gradient_norm"] == 2
    assert not any(f"loss/task/{task}" in values for task in set(TASKS) - {"style", "face"})


def test_reading_starts_anew() -> None:
    metrics = Accumulator(CPU, 1, 1000)
    add(metrics, 0, [5.0], ["copy"], [0])
    metrics.read()
    add(metrics, 1, [1.0], ["copy"], [0])
    assert metrics.read().values["loss/train"] == 1


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_the_first_bad_step_and_its_samples_are_named(bad: float) -> None:
    metrics = Accumulator(CPU, 3, 1000)
    add(metrics, 4, [1.0, 1.0, 1.0], ["copy"] * 3, [0, 0, 0])
    add(metrics, 5, [1.0, bad, 1.0], ["copy"] * 3, [0, 0, 0])
    add(metrics, 6, [bad, bad, bad], ["copy"] * 3, [0, 0, 0])
    interval = metrics.read()
    assert (interval.bad_step, interval.bad_slots) == (5, [1])


def test_two_bad_micro_batches_of_one_step_are_both_named() -> None:
    metrics = Accumulator(CPU, 4, 1000)
    for slots in ([0, 1], [2, 3]):
        metrics.add_loss(
            7, torch.tensor(slots), torch.tensor([1.0, math.nan]), torch.tensor([0, 0]), torch.tensor([0, 0])
        )
    interval = metrics.read()
    assert (interval.bad_step, interval.bad_slots) == (7, [1, 3])


def test_a_bad_gradient_alone_is_found() -> None:
    metrics = Accumulator(CPU, 1, 1000)
    add(metrics, 3, [1.0], ["copy"], [0])
    metrics.add_gradient(3, torch.tensor(math.nan))
    interval = metrics.read()
    assert (interval.bad_step, interval.bad_slots) == (3, [])


def test_adding_never_waits_for_the_device() -> None:
    """On the meta device any read of a value raises, as a host sync would have to."""
    metrics = Accumulator(torch.device("meta"), 2, 1000)
    index = torch.zeros(2, dtype=torch.long, device="meta")
    metrics.add_loss(0, index, torch.ones(2, device="meta"), index, index)
    metrics.add_gradient(0, torch.ones((), device="meta"))
    with pytest.raises((RuntimeError, NotImplementedError)):
        metrics.read()
