"""The denoising loss, per sample, so that it can be weighted and reported by task and timestep."""

import torch
from torch import Tensor


def squared_error(prediction: Tensor, noise: Tensor) -> Tensor:
    """Mean squared error of each sample in fp32: [B, C, h, w] twice -> [B] (paper eq. 2, epsilon prediction)."""
    return (prediction.float() - noise.float()).square().mean(dim=(1, 2, 3))


def min_snr_weights(alphas_cumprod: Tensor, timesteps: Tensor, gamma: float) -> Tensor:
    """Min-SNR-gamma weights min(SNR, gamma) / SNR for epsilon prediction: [T], [B] -> [B] (arXiv 2303.09556)."""
    alpha = alphas_cumprod[timesteps]
    snr = alpha / (1 - alpha)
    return torch.clamp(snr, max=gamma) / snr
