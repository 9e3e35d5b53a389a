"""Arithmetic of a training step and the machine's measured ceiling, for model FLOP utilisation."""

import json
import time
from dataclasses import asdict

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ipai.adapter.adapter import InstructAdapter
from ipai.adapter.hosts.inject import inject
from ipai.adapter.spec import AdapterSpec
from ipai.backbones.families import FoundBase, family_of
from ipai.conditioning import Conditioning
from ipai.training.predictor import NoisePredictor, repeated

_counted: dict[str, int] = {}
"""What this process has counted, which takes seconds of a core: a sweep on one machine trains in one process."""


def count_step_flops(base: FoundBase, spec: AdapterSpec, draws: int = 1) -> int:
    """FLOPs of one sample's forward and backward pass through denoiser and adapter, a multiply-add being two.

    Counted on the network without memory (the meta device) that `base` holds, so the number is the same on every
    machine and costs no compute.

    Args:
        base: With its denoiser's configuration.
        spec: The adapter.
        draws: How often the sample is noised.
    """
    denoiser = base.configs[family_of(base.config).denoising]
    counted_on = [base.config.family, dict(denoiser.config), asdict(base.dims), asdict(spec), draws]
    key = json.dumps(counted_on, sort_keys=True)
    if key not in _counted:
        _counted[key] = _count(base, spec, draws)
    return _counted[key]


def _count(base: FoundBase, spec: AdapterSpec, draws: int) -> int:
    family, dims = family_of(base.config), base.dims
    with torch.device("meta"):
        denoiser = base.configs[family.denoising].requires_grad_(False)
        injection = inject(denoiser, InstructAdapter(spec))
        inputs = {
            "noisy_latents": torch.empty(draws, *dims.latent_shape),
            "timesteps": torch.empty(draws, dtype=torch.long),
            "prompt_arguments": repeated(family.example_prompt(dims), draws),
            "cond_tokens": torch.empty(1, dims.image_tokens, dims.image_dim),
            **Conditioning(spec).example(),
        }
        # Only the plain form of attention is made of products that the counter knows on every device.
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            prediction, _ = NoisePredictor(injection)(**inputs, draws=draws)
            prediction.square().mean().backward()
        injection.eject()
    return int(counter.get_total_flops())


def matmul_ceiling(device: torch.device, dtype: torch.dtype, seconds: float = 0.3) -> float:
    """FLOP/s of a large square matrix product on this device, measured for about `seconds`."""
    size = 8192 if device.type == "cuda" else 1024
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))

    def finished() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    left @ right
    start, products = finished(), 0
    while (now := finished()) - start < seconds:
        left @ right
        products += 1
    return products * 2 * size**3 / (now - start)
