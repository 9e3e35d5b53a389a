"""Each objective against an independent form, and that a further one is a class and a file."""

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr

from ipai.errors import ConfigError
from ipai.objective import Epsilon, Velocity, make_objective, squared_error

SCHEDULER = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
ALPHAS = SCHEDULER.alphas_cumprod
TIMESTEPS = torch.tensor([0, 10, 250, 999])
LATENTS, NOISE = torch.randn(2, 4, 4, 8, 8, generator=torch.Generator().manual_seed(0))


def test_squared_error_is_each_samples_own_mean() -> None:
    expected = torch.stack([torch.nn.functional.mse_loss(LATENTS[i], NOISE[i]) for i in range(4)])
    torch.testing.assert_close(squared_error(LATENTS, NOISE), expected)


def test_squared_error_is_computed_in_fp32() -> None:
    prediction = torch.full((1, 4, 8, 8), 300.0, dtype=torch.float16)  # its square overflows fp16
    assert squared_error(prediction, torch.zeros_like(prediction)).item() == 90_000


def test_latents_are_noised_as_diffusers_does_to_the_bit() -> None:
    expected = SCHEDULER.add_noise(LATENTS, NOISE, TIMESTEPS)  # type: ignore[arg-type]
    assert torch.equal(Epsilon(ALPHAS).noised(LATENTS, NOISE, TIMESTEPS), expected)


def test_the_targets() -> None:
    assert torch.equal(Epsilon(ALPHAS).target(LATENTS, NOISE, TIMESTEPS), NOISE)
    velocity = SCHEDULER.get_velocity(LATENTS, NOISE, TIMESTEPS)  # type: ignore[arg-type]
    torch.testing.assert_close(Velocity(ALPHAS).target(LATENTS, NOISE, TIMESTEPS), velocity)


def test_min_snr_weights_have_their_closed_forms() -> None:
    snr = compute_snr(SCHEDULER, TIMESTEPS)  # an independent form: (sqrt(alpha) / sqrt(1 - alpha))^2
    least = torch.minimum(snr, torch.tensor(5.0))
    weights = Epsilon(ALPHAS, min_snr_gamma=5.0).weights(TIMESTEPS)
    assert weights is not None
    torch.testing.assert_close(weights, least / snr)
    assert weights[-1] == 1
    assert weights[0] < 0.01
    of_velocity = Velocity(ALPHAS, min_snr_gamma=5.0).weights(TIMESTEPS)
    assert of_velocity is not None
    torch.testing.assert_close(of_velocity, least / (snr + 1))
    assert Epsilon(ALPHAS).weights(TIMESTEPS) is None


def test_the_error_of_the_velocity_is_that_of_the_noise_scaled() -> None:
    """So that weighted alike both objectives weigh a timestep alike: |v - v'|^2 = |e - e'|^2 / alpha."""
    predicted = NOISE + 0.1 * LATENTS.roll(1, 0)
    signal = (ALPHAS[TIMESTEPS] ** 0.5).view(-1, 1, 1, 1)
    disturbance = ((1 - ALPHAS[TIMESTEPS]) ** 0.5).view(-1, 1, 1, 1)
    noisy = Epsilon(ALPHAS).noised(LATENTS, NOISE, TIMESTEPS)
    guessed = (noisy - disturbance * predicted) / signal
    velocity = signal * predicted - disturbance * guessed
    of_noise = squared_error(predicted, NOISE)
    of_velocity = squared_error(velocity, Velocity(ALPHAS).target(LATENTS, NOISE, TIMESTEPS))
    torch.testing.assert_close(of_velocity, of_noise / ALPHAS[TIMESTEPS], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("power", [1.0, 2.0, 3.0])
def test_timesteps_follow_their_power(power: float) -> None:
    lots = (torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000
    drawn = Epsilon(ALPHAS, timestep_power=power).timesteps(lots)
    assert drawn.tolist() == [min(int(1000 * lot ** (1 / power)), 999) for lot in lots.tolist()]
    for timestep in (100, 500, 900):
        assert (drawn < timestep).double().mean().item() == pytest.approx((timestep / 1000) ** power, abs=1e-3)
    last = torch.tensor([np.nextafter(1.0, 0.0)], dtype=torch.float64)
    assert Epsilon(ALPHAS, timestep_power=power).timesteps(last).item() == 999


def test_validation_spreads_evenly_whatever_the_power() -> None:
    lots = (torch.arange(4, dtype=torch.float64) + 0.5) / 4
    assert Epsilon(ALPHAS, timestep_power=3.0).spread(lots).tolist() == [125, 375, 625, 875]


def test_the_level_cuts_the_schedule_into_equal_parts() -> None:
    everything = torch.arange(1000)
    assert torch.equal((Epsilon(ALPHAS).level(everything) * 10).long(), everything // 100)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "epsilonn"}, r"objective\.name=epsilonn is none of epsilon, flow, v"),
        (
            {"name": "epsilon", "timestep_pwer": 2},
            r"timestep_pwer; did you mean objective\.timestep_power",
        ),
        ({"name": "v", "shift": 3}, r"no objective\.shift; it has min_snr_gamma, timestep_power"),
        ({"name": "epsilon", "min_snr_gamma": 0}, r"objective\.min_snr_gamma=0 must be above 0"),
        ({"name": "epsilon", "timestep_power": float("nan")}, r"objective\.timestep_power=nan must be above 0"),
    ],
)
def test_what_cannot_work_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_objective(settings, {"alphas_cumprod": ALPHAS})
