import pytest
import torch

from ipai.training.ema import MovingAverage


def test_half_life_is_in_samples() -> None:
    live = {"w": torch.zeros(1)}
    average = MovingAverage(live, half_life=64)
    live["w"].fill_(1.0)
    for step in range(8):  # 8 steps of 8 samples: one half-life, far from the start
        average.update(8, samples_seen=1_000_000 + step * 8)
    assert average.tensors["w"].item() == pytest.approx(0.5)


def test_the_same_samples_give_the_same_average_at_any_batch_size() -> None:
    averages = []
    for batch_size in (8, 32):
        live = {"w": torch.zeros(1)}
        average = MovingAverage(live, half_life=100)
        live["w"].fill_(1.0)
        for _ in range(320 // batch_size):
            average.update(batch_size, samples_seen=1_000_000)
        averages.append(average.tensors["w"].item())
    assert averages[0] == pytest.approx(averages[1], rel=1e-5)


def test_the_start_is_forgotten_during_warm_up() -> None:
    live = {"w": torch.ones(1)}
    average = MovingAverage(live, half_life=10**9)
    live["w"].zero_()
    for step in range(1, 200):
        average.update(1, samples_seen=step)
    assert average.tensors["w"].item() < 1e-6


def test_live_parameters_are_read_not_written() -> None:
    live = {"w": torch.nn.Parameter(torch.ones(2))}
    average = MovingAverage(live, half_life=1)
    average.update(1, 10)
    assert average.tensors["w"] is not live["w"]
    assert torch.equal(live["w"].detach(), torch.ones(2))


def test_load_restores_to_the_bit() -> None:
    stored = {"w": torch.randn(3)}
    average = MovingAverage({"w": torch.zeros(3)}, half_life=1)
    average.load(stored)
    assert torch.equal(average.tensors["w"], stored["w"])
