from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from diffusers import UNet2DConditionModel

from ipai.adapter.spec import AdapterSpec
from ipai.backbones.families import FoundBase
from ipai.backbones.micro import micro_config
from ipai.training import flops
from ipai.training.flops import count_step_flops, matmul_ceiling
from tests.helpers.specs import paper_spec, plus_spec, released_spec


def sd15_unet() -> UNet2DConditionModel:
    """SD1.5's UNet without memory for its weights."""
    with torch.device("meta"):
        return UNet2DConditionModel(
            sample_size=64, cross_attention_dim=768, attention_head_dim=8,
            down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
            up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        )  # fmt: skip


def sd15() -> FoundBase:
    """Stable Diffusion 1.5 as its configuration files describe it."""
    configs = {
        "unet": sd15_unet(),
        "vae": SimpleNamespace(block_out_channels=(128, 256, 512, 512), latent_channels=4),
        "text_encoder": SimpleNamespace(hidden_size=768),
        "image_encoder": SimpleNamespace(hidden_size=1280, image_size=224, patch_size=14),
    }
    return FoundBase(replace(micro_config(), resolution=512, image_size=224), {}, configs)


def test_a_training_sample_of_sd15_costs_what_arithmetic_says() -> None:
    """1,673 GFLOP for the UNet with gradients to the condition tokens alone; the adapter adds little."""
    assert count_step_flops(sd15(), plus_spec()) == pytest.approx(1.673e12, rel=0.02)


def test_the_instruction_branch_adds_its_share() -> None:
    base = sd15()
    plain, instruct, released = (count_step_flops(base, spec) for spec in (plus_spec(), paper_spec(), released_spec()))
    assert plain < instruct < released < 1.03 * plain
    assert flops._count(base, plus_spec(), 1) == plain  # the network is as it was


def test_what_was_counted_is_not_counted_again_and_what_differs_is(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[tuple[AdapterSpec, int]] = []

    def count(base: FoundBase, spec: AdapterSpec, draws: int) -> int:
        counted.append((spec, draws))
        return len(counted)

    monkeypatch.setattr(flops, "_count", count)
    monkeypatch.setattr(flops, "_counted", {})
    larger = sd15()
    larger.configs["unet"].register_to_config(sample_size=96)
    asked = [(sd15(), plus_spec(), 1), (sd15(), paper_spec(), 1), (sd15(), plus_spec(), 2), (larger, plus_spec(), 1)]
    assert [count_step_flops(*words) for words in [*asked, *asked]] == [1, 2, 3, 4, 1, 2, 3, 4]


def test_the_ceiling_is_a_rate() -> None:
    assert 1e8 < matmul_ceiling(torch.device("cpu"), torch.float32, seconds=0.05) < 1e15
