"""What a dry run says of bases in full size, from their configuration files."""

from pathlib import Path

import pytest
import torch

from ipai.backbones.families import find_networks
from ipai.conditioning import spec_of
from ipai.training.batching import Batching
from ipai.training.dry_run import facts
from ipai.training.memory import PeakCounter, estimate
from tests.helpers.composing import compose
from tests.helpers.full_size import full_size

DENOISER = {
    "sd15": 859_520_964,
    "sdxl": 2_567_463_684,
    "sd3": 2_028_328_000,
    "flux": 11_901_408_320,
    "prx": 1_170_691_648,
}
ADAPTER = {"sd15": 68_767_488, "sdxl": 477_520_384, "sd3": 337_541_632, "flux": 617_628_160, "prx": 239_193_856}
IDLE = {"sd3": 1536**2}  # its last passthrough
OF_A_FLOW = ("sd3", "flux", "prx")


@pytest.mark.slow
@pytest.mark.parametrize("name", DENOISER)
def test_sizes_arithmetic_and_memory_are_told_without_weights(tmp_path: Path, name: str) -> None:
    flow = ["objective=flow"] if name in OF_A_FLOW else []
    config = compose("data.root=none", f"base={name}", "base.resolution=512", "train.micro_batch_size=1", *flow)
    config.base = full_size(config.base, tmp_path)
    found = find_networks(config.base)
    config.card = "h100"
    told = "\n".join(facts(config, found, Batching(0, 1, 1, 512)))
    trained = ADAPTER[name] - IDLE.get(name, 0)
    assert f"trainable parameters {trained:,}; frozen {DENOISER[name]:,} in the denoiser" in told
    assert "GiB a process in bfloat16 with micro-batches of 1" in told
    assert "1 x h100, by its data sheet: at least" in told
    assert "its 80 GB hold micro-batches of up to" in told


def test_more_samples_and_wider_numbers_take_more_and_checkpointing_less(tmp_path: Path) -> None:
    config = compose("data.root=none")
    config.base = full_size(config.base, tmp_path)
    found = find_networks(config.base)
    spec = spec_of(config.adapter, config.base, found.dims)
    loaded = {"unet": True, "vae": False}

    def of(dtype: torch.dtype, count: int, **options: bool) -> tuple[int, int, int]:
        made = estimate(found, spec, dtype, count, loaded=loaded, averaged=False, **options)  # type: ignore[arg-type]
        return made.frozen, made.trained, made.step

    one, two = of(torch.float32, 1), of(torch.float32, 2)
    half, less = of(torch.bfloat16, 1), of(torch.float32, 1, checkpointing=True)
    gradients = 4 * 68_767_488
    assert one[0] == 4 * 859_520_964
    assert one[1] == 3 * gradients  # weights and AdamW's moments, in fp32 whatever the base has
    assert two[2] == pytest.approx(2 * one[2], rel=0.02)
    assert of(torch.float32, 1, accumulated=True)[2] == one[2] + gradients
    assert half[:2] == (one[0] // 2, one[1])
    assert half[2] < 0.75 * one[2]
    assert less[2] < 0.5 * one[2]


def test_storages_are_counted_once_and_until_they_are_freed() -> None:
    counter = PeakCounter()
    with counter:
        first = torch.zeros(1000)
        view = first.view(10, 100).T
        del first, view
        second = torch.zeros(2000)
        third = second + 1
    assert counter.peak == 4 * (2000 + 2000)
    del third
