import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr

from ipai.training.loss import min_snr_weights, squared_error


def test_squared_error_is_each_samples_own_mean() -> None:
    prediction, noise = torch.randn(3, 4, 8, 8), torch.randn(3, 4, 8, 8)
    expected = torch.stack([torch.nn.functional.mse_loss(prediction[i], noise[i]) for i in range(3)])
    torch.testing.assert_close(squared_error(prediction, noise), expected)


def test_squared_error_is_computed_in_fp32() -> None:
    prediction = torch.full((1, 4, 8, 8), 300.0, dtype=torch.float16)  # its square overflows fp16
    assert squared_error(prediction, torch.zeros_like(prediction)).item() == 90_000


def test_min_snr_weight_has_its_closed_form() -> None:
    scheduler = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    timesteps = torch.tensor([0, 10, 250, 999])
    weights = min_snr_weights(scheduler.alphas_cumprod, timesteps, gamma=5.0)
    snr = compute_snr(scheduler, timesteps)  # an independent form: (sqrt(alpha) / sqrt(1 - alpha))^2
    torch.testing.assert_close(weights, torch.minimum(snr, torch.tensor(5.0)) / snr)
    assert weights[-1] == 1
    assert weights[0] < 0.01
