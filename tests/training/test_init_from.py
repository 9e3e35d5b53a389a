"""Going on: from another adapter, and for more steps than a run was started with."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ipai.adapter import load_adapter, save_adapter
from ipai.adapter.adapter import is_new_branch
from ipai.adapter.formats import export_ip_adapter, read_metadata
from ipai.config import TrainingRun
from ipai.errors import ConfigError, WeightsError
from ipai.files import sha256_of
from ipai.training.run import train
from tests.training.conftest import Assemble

pytestmark = pytest.mark.slow

Configure = Callable[..., TrainingRun]


def last(run: Path) -> Path:
    return run / "checkpoints" / "latest"


def test_a_run_starts_with_the_weights_of_another(configure: Configure, parts: Assemble, tmp_path: Path) -> None:
    first = tmp_path / "first"
    assert train(configure(f"run={first}", "experiment=single_style")) == 0
    built = parts(f"train.init_from={first}", "experiment=joint")
    ours, theirs = (
        built.step.module.adapter.state_dict(),
        load_adapter(last(first) / "ema.safetensors").state_dict(),
    )
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    second = tmp_path / "second"
    assert train(configure(f"run={second}", f"train.init_from={first}")) == 0
    assert read_metadata(last(second) / "adapter.safetensors")["init_from"] == str(first)
    assert train(configure(f"run={second}", f"train.init_from={first}")) == 0, "the same command again"


def test_from_an_ip_adapter_plus_the_new_branch_is_as_at_any_start(parts: Assemble, tmp_path: Path) -> None:
    plus = parts("adapter=ip_adapter_plus").step.module.adapter
    with torch.no_grad():
        plus.image_proj.latents += 1
    export_ip_adapter(plus, tmp_path / "plus.safetensors")
    built, plain = parts(f"train.init_from={tmp_path}/plus.safetensors"), parts()
    for name, tensor in built.step.module.adapter.state_dict().items():
        wanted = plain.step.module.adapter if is_new_branch(name) else plus
        assert torch.equal(tensor, wanted.state_dict()[name]), name


def test_another_size_is_refused_and_each_difference_named(parts: Assemble, tmp_path: Path) -> None:
    run = tmp_path / "other"
    other = parts("adapter.branch_ff_mult=3").step.module.adapter
    save_adapter(other, run.with_suffix(".safetensors"), {})
    with pytest.raises(WeightsError, match=r"branch_ff_mult: 3 there, 2 here"):
        parts(f"train.init_from={run.with_suffix('.safetensors')}")
    with pytest.raises(WeightsError, match="there is no adapter at"):
        parts(f"train.init_from={tmp_path}/nothing")


def test_a_finished_run_is_given_more_steps_and_ends_as_if_it_had_had_them(
    configure: Configure, tmp_path: Path
) -> None:
    whole, raised = tmp_path / "whole", tmp_path / "raised"
    assert train(configure(f"run={whole}", "train.steps=3")) == 0
    assert train(configure(f"run={raised}", "train.steps=2")) == 0
    assert train(configure(f"run={raised}", "train.steps=3")) == 0
    for name in ("adapter", "optimizer"):
        digests = {sha256_of(last(run) / f"{name}.safetensors") for run in (whole, raised)}
        assert len(digests) == 1, name
    assert train(configure(f"run={raised}", "train.steps=4", "checkpoint.every=1")) == 0, "and again"


@pytest.mark.parametrize(
    ("words", "steps"), [(["train.schedule=cosine"], 3), ([], 1)], ids=["a cosine is spent", "fewer than it has"]
)
def test_other_steps_are_refused_with_the_reason(configure: Configure, words: list[str], steps: int) -> None:
    assert train(configure("train.steps=2", *words)) == 0
    with pytest.raises(ConfigError, match=r"train\.steps: 2 -> \d \(steps may only be raised"):
        train(configure(f"train.steps={steps}", *words))
