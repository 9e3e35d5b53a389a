"""Arithmetic of a training step and the machine's measured ceiling, for model FLOP utilisation."""

import time

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ipai.adapter.adapter import InstructAdapter
from ipai.adapter.injection import inject
from ipai.adapter.spec import AdapterSpec
from ipai.base.dims import BaseDims
from ipai.conditioning import Conditioning
from ipai.training.predictor import NoisePredictor

_TEXT_TOKENS = 77


def count_step_flops(unet: UNet2DConditionModel, spec: AdapterSpec, dims: BaseDims) -> int:
    """FLOPs of one sample's forward and backward pass through UNet and adapter, a multiply-add being two.

    Counted on a copy without memory (the meta device), so the number is the same on every machine and costs no compute.

    Args:
        unet: Only its configuration is used.
        spec: The adapter.
        dims: Sizes of the other inputs.
    """
    with torch.device("meta"):
        twin = UNet2DConditionModel.from_config(unet.config).requires_grad_(False)
        adapter = InstructAdapter(spec)
        inject(twin, adapter)
        inputs = _inputs(spec, dims)
        # Only the plain form of attention is made of products that the counter knows on every device.
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            NoisePredictor(twin, adapter)(**inputs).square().mean().backward()
    return int(counter.get_total_flops())


def _inputs(spec: AdapterSpec, dims: BaseDims) -> dict[str, torch.Tensor | None]:
    """Inputs of the predictor for a batch of one."""
    inputs: dict[str, torch.Tensor | None] = {
        "noisy_latents": torch.empty(1, *dims.latent_shape),
        "timesteps": torch.empty(1, dtype=torch.long),
        "encoder_hidden_states": torch.empty(1, _TEXT_TOKENS, dims.prompt_dim),
        "cond_tokens": torch.empty(1, dims.image_tokens, dims.image_dim),
    }
    return inputs | Conditioning(spec).example()


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
