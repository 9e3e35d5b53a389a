"""What a dry run says of bases in full size, from their configuration files."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from ipai.backbones.families import find_networks
from ipai.conditioning import spec_of
from ipai.errors import ConfigError
from ipai.training import memory
from ipai.training.batching import Batching
from ipai.training.dry_run import dry_run, facts
from ipai.training.memory import PeakCounter, _norms_as_on_cuda, estimate, memory_of, traced
from ipai.training.run import make_accelerator
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
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "sd15" else pytest.mark.long) for name in DENOISER]
)
def test_sizes_arithmetic_and_memory_are_told_without_weights(tmp_path: Path, name: str) -> None:
    flow = ["objective=flow"] if name in OF_A_FLOW else []
    config = compose("data.root=none", f"base={name}", "base.resolution=512", "train.micro_batch_size=1", *flow)
    config.base = full_size(config.base, tmp_path)
    found = find_networks(config.base)
    config.card = "h100"
    needs = traced(config, found, spec_of(config.adapter, config.base, found.dims))
    told = "\n".join(facts(config, found, Batching(0, 1, 1, 512), needs))
    trained = ADAPTER[name] - IDLE.get(name, 0)
    assert f"trainable parameters {trained:,}; frozen {DENOISER[name]:,} in the denoiser" in told
    assert "GiB a process in bfloat16 with micro-batches of 1" in told
    assert "1 x h100, by its data sheet: at least" in told
    assert "its 80 GB hold micro-batches of up to" in told


def test_a_setting_that_the_objective_has_not_is_refused() -> None:
    config = compose("data.root=none", "base=micro_prx", "objective=flow", "recipe=smoke")
    config.objective["min_snr_gamma"] = 5.0
    with pytest.raises(ConfigError, match=r"the objective flow has no objective\.min_snr_gamma"):
        dry_run(config, make_accelerator(config))


@pytest.mark.slow
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


def test_norms_are_wide_below_fp32_as_cuda_has_them() -> None:
    values, weight = torch.ones(2, 4, 3, dtype=torch.bfloat16), torch.ones(4, dtype=torch.bfloat16)
    with _norms_as_on_cuda(torch.bfloat16):
        assert functional.group_norm(values, 2, weight).dtype is torch.float32
        assert functional.layer_norm(values, (3,)).dtype is torch.float32
    assert functional.group_norm(values, 2, weight).dtype is torch.bfloat16
    with _norms_as_on_cuda(torch.float32):
        assert functional.layer_norm(values, (3,)).dtype is torch.bfloat16


@pytest.mark.slow
def test_the_contrast_and_its_rows_are_in_it() -> None:
    config = compose("data.root=none", "base=micro", "recipe=smoke", "train.batch_size=8")
    found = find_networks(config.base)
    spec = spec_of(config.adapter, config.base, found.dims)
    plain = memory_of(config, found, spec, torch.float32, 8, False)
    config.train.instruction_contrast = 0.1
    assert memory_of(config, found, spec, torch.float32, 8, False).step > plain.step


@pytest.mark.slow
@pytest.mark.parametrize(("card", "word"), [("null", "one sample at a time"), ("h100", "micro-batches of up to 8")])
def test_an_open_micro_batch_is_told_as_the_card_would_have_it(
    card: str, word: str, joint_shards: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = compose(
        f"data.root={joint_shards}", "base=micro", "recipe=smoke", "experiment=joint", "train.batch_size=8",
        "train.micro_batch_size=auto", "dry_run=true", f"card={card}",
    )  # fmt: skip
    caplog.set_level("INFO")
    dry_run(config, make_accelerator(config))
    assert word in caplog.text
    size = 1 if card == "null" else 8
    assert f"batch 8 = 1 processes x {size} x {8 // size} accumulation" in caplog.text


@pytest.mark.parametrize(("size", "traced"), [("1", 4), ("auto", 5)])
def test_no_size_is_traced_twice(size: str, traced: int, joint_shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a card in bf16 one sample, two and what fits; then what the run has, in bf16 and in fp32."""
    sizes: list[tuple[object, ...]] = []

    def noted(*words: Any, **options: Any) -> memory.StepMemory:
        sizes.append((*words[2:], options["accumulated"]))
        return memory.StepMemory(1, 1, 1)

    monkeypatch.setattr(memory, "estimate", noted)
    config = compose(
        f"data.root={joint_shards}", "base=micro", "recipe=smoke", "experiment=joint", "train.batch_size=8",
        f"train.micro_batch_size={size}", "dry_run=true", "card=h100",
    )  # fmt: skip
    dry_run(config, make_accelerator(config))
    assert len(sizes) == len(set(sizes)) == traced, sizes


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
