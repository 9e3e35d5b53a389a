import pytest
import torch
from diffusers import UNet2DConditionModel

from ipai.adapter.spec import SD15_ATTENTION_SIZES, AdapterSpec
from ipai.base.dims import BaseDims
from ipai.training.flops import count_step_flops, matmul_ceiling

SD15 = BaseDims(1280, 257, 768, 1024, SD15_ATTENTION_SIZES, (4, 64, 64), 512, 224)


def sd15_unet() -> UNet2DConditionModel:
    """SD1.5's UNet without memory for its weights."""
    with torch.device("meta"):
        return UNet2DConditionModel(
            sample_size=64, cross_attention_dim=768, attention_head_dim=8,
            down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
            up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        )  # fmt: skip


def test_a_training_sample_of_sd15_costs_what_arithmetic_says() -> None:
    """1,673 GFLOP for the UNet with gradients to the condition tokens alone; the adapter adds little."""
    flops = count_step_flops(sd15_unet(), AdapterSpec.ip_adapter_plus(), SD15)
    assert flops == pytest.approx(1.673e12, rel=0.02)


def test_the_instruction_branch_adds_its_share() -> None:
    unet = sd15_unet()
    plain, instruct, released = (
        count_step_flops(unet, spec, SD15)
        for spec in (AdapterSpec.ip_adapter_plus(), AdapterSpec.paper(), AdapterSpec.released())
    )
    assert plain < instruct < released < 1.03 * plain


def test_the_ceiling_is_a_rate() -> None:
    assert 1e8 < matmul_ceiling(torch.device("cpu"), torch.float32, seconds=0.05) < 1e15
