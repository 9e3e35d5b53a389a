"""A UNet with SD1.5's block names and a few channels, and adapters that fit it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from ipai.adapter import AdapterSpec, InstructAdapter, initialise
from tests.helpers.specs import attention_sizes_of, paper_spec

CROSS_DIM, IMAGE_DIM, TEXT_DIM = 32, 24, 20


def make_unet() -> UNet2DConditionModel:
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=8,
        cross_attention_dim=CROSS_DIM,
        attention_head_dim=2,
        norm_num_groups=4,
        layers_per_block=2,
        block_out_channels=(8, 16, 24, 24),
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    ).eval()


@pytest.fixture
def unet() -> UNet2DConditionModel:
    return make_unet()


@pytest.fixture(scope="session")
def small() -> AdapterSpec:
    """The paper's variant for the small UNet; heads of 64, as diffusers assumes when it reads a file."""
    sizes = attention_sizes_of(make_unet())
    spec = paper_spec(sizes, image_dim=IMAGE_DIM, token_dim=CROSS_DIM, instruction_dim=TEXT_DIM)
    return replace(spec, width=48, heads=2, num_queries=4)


@pytest.fixture
def plus(small: AdapterSpec) -> InstructAdapter:
    torch.manual_seed(1)
    return InstructAdapter(replace(small, instruction="none"))


@pytest.fixture
def released(small: AdapterSpec) -> InstructAdapter:
    torch.manual_seed(2)
    return InstructAdapter(replace(small, prompt_dim=TEXT_DIM))


@pytest.fixture
def cond_tokens() -> Tensor:
    return torch.randn(2, 17, IMAGE_DIM, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def texts() -> Tensor:
    return torch.randn(2, 7, TEXT_DIM, generator=torch.Generator().manual_seed(4))


@pytest.fixture
def started_from(small: AdapterSpec) -> Callable[..., InstructAdapter]:
    """Make an adapter of another variant that shares the weights of `plus`, its new branch initialised."""

    def make(plus: InstructAdapter, **changes: Any) -> InstructAdapter:
        adapter = InstructAdapter(replace(small, **changes))
        with torch.no_grad():
            for name, tensor in plus.state_dict().items():
                adapter.state_dict()[name].copy_(tensor)
        initialise(adapter, seed=5)
        return adapter

    return make
