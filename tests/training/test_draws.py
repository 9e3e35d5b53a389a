"""Several draws of noise and timestep for one decoded and encoded sample."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ipai.config import TrainingRun
from tests.training.conftest import Assemble, assert_resumed_alike

TWO = "train.draws_per_sample=2"


def test_the_first_draw_is_that_of_a_run_with_one(parts: Assemble) -> None:
    one, two = (next(parts(*words).micro_batches(0)) for words in ((), (TWO,)))
    assert two.draws == 2
    assert two.keys == one.keys
    assert torch.equal(two.noise[::2], one.noise)
    assert torch.equal(two.lots[::2], one.lots)
    assert not torch.equal(two.noise[1::2], one.noise)
    assert len({float(lot) for lot in two.lots}) == 8


def test_each_draw_has_the_error_that_it_has_alone(parts: Assemble) -> None:
    built = parts(TWO)
    batch = next(built.micro_batches(0))
    both = built.step.error(batch)
    for draw in range(2):
        alone = built.step.error(replace(batch, noise=batch.noise[draw::2], lots=batch.lots[draw::2]))
        torch.testing.assert_close(both[draw::2], alone, atol=1e-5, rtol=1e-4)


def test_everything_but_the_denoiser_sees_a_sample_once(parts: Assemble) -> None:
    built = parts(TWO, "train.instruction_contrast=0.1")
    batch = next(built.micro_batches(0))
    rows: dict[str, list[int]] = {}

    def counted(name: str) -> Callable[..., None]:
        return lambda _module, args, kwargs: rows.setdefault(name, []).append(len((*args, *kwargs.values())[0]))

    base = built.step.base
    watched: dict[str, Any] = {
        "vae": base.vae.encoder, "clip": base.image_encoder.vision_model, "text": base.text_encoder,
        "resampler": built.step.module.adapter.image_proj, "unet": base.denoiser,
    }  # fmt: skip
    for name, module in watched.items():
        module.register_forward_pre_hook(counted(name), with_kwargs=True)
    error, contrast, _ = built.step.losses(batch, built.step.objective.timesteps(batch.lots))
    assert rows == {"vae": [4], "clip": [4, 4], "text": [4], "resampler": [12], "unet": [8]}
    assert error.shape == (8,)
    assert contrast is not None
    assert contrast.shape == (4,)


def test_flops_grow_with_the_draws_by_less_than_their_number(parts: Assemble) -> None:
    one, two = (parts(*words).speed.facts.flops_per_sample for words in ((), (TWO,)))
    assert 1.5 * one < two < 2 * one


@pytest.mark.slow
def test_a_resumed_run_ends_with_the_same_bytes(configure: Callable[..., TrainingRun], tmp_path: Path) -> None:
    config = configure(TWO, "checkpoint.every=1", f"run={tmp_path / 'a' / 'run'}")
    assert_resumed_alike(config, tmp_path / "a" / "run")
