"""What every family of bases keeps, on its miniature: a family that passes here trains, resumes and is exported."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ipai.adapter import InstructAdapter, inject, load_adapter, save_adapter
from ipai.adapter.adapter import is_new_branch
from ipai.backbones.families import FAMILIES
from ipai.config import TrainingRun
from ipai.files import sha256_of
from ipai.training.loop import Parts
from ipai.training.run import train
from tests.helpers.specs import attention_sizes_of

MICRO = {
    "sd15": "base=micro",
    "sdxl": "base=micro_sdxl",
    "sd3": "base=micro_sd3 objective=flow",
    "flux": "base=micro_flux objective=flow",
    "prx": "base=micro_prx objective=flow",
}
"""What chooses the miniature of each family."""

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("base", MICRO.values())]
Assemble = Callable[..., Parts]


def test_every_family_is_held_to_it(base: str) -> None:
    assert MICRO.keys() == FAMILIES.keys()


def test_step_0_is_the_plain_adapter_to_the_bit(parts: Assemble, base: str) -> None:
    """Whatever the instruction (paper section 3)."""
    built = parts(*base.split())
    inputs, _ = built.step.inputs(next(built.micro_batches(0)))
    plain = parts(*base.split(), "adapter=ip_adapter_plus")
    state = {n: t for n, t in built.step.module.adapter.state_dict().items() if not is_new_branch(n)}
    plain.step.module.adapter.load_state_dict(state)
    told = {name: value for name, value in inputs.items() if not name.startswith("instruction")}
    with torch.no_grad():
        assert torch.equal(built.step.predictor(**inputs)[0], plain.step.predictor(**told)[0])


def test_the_base_gets_no_gradient(parts: Assemble, base: str) -> None:
    built = parts(*base.split())
    built.step.error(next(built.micro_batches(0))).mean().backward()
    own = {id(parameter) for parameter in built.step.module.adapter.parameters()}
    others = [parameter for parameter in built.step.module.parameters() if id(parameter) not in own]
    assert others
    assert all(not p.requires_grad and p.grad is None for p in others)
    # An SD3 adapter's last passthrough is read by nobody.
    idle = [n for n, p in built.step.module.adapter.named_parameters() if p.grad is None]
    assert idle == ([] if "sd3" not in base else ["ip_adapter.2.proj_encoder_passthrough_ip.weight"])


def test_putting_in_and_taking_out_are_inverses(parts: Assemble, base: str) -> None:
    built = parts(*base.split())
    denoiser, adapter = built.step.base.denoiser, built.step.module.adapter
    built.step.module.injection.eject()
    before = {name: tensor.clone() for name, tensor in denoiser.state_dict().items()}
    modules, config = [id(module) for module in denoiser.modules()], dict(denoiser.config)
    injection = inject(denoiser, InstructAdapter(adapter.spec))
    assert denoiser.state_dict().keys() != before.keys()
    injection.eject()
    after = denoiser.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert [id(module) for module in denoiser.modules()] == modules
    assert dict(denoiser.config) == config
    assert attention_sizes_of(denoiser) == adapter.spec.attention_sizes


def test_a_resumed_run_ends_with_the_same_bytes(
    configure: Callable[..., TrainingRun], tmp_path: Path, base: str
) -> None:
    config = configure(*base.split(), "checkpoint.every=1", f"run={tmp_path / 'a' / 'run'}")
    assert train(config) == 0
    last = tmp_path / "a/run/checkpoints/step-00000002"
    whole = {path.name: sha256_of(path) for path in last.glob("*.safetensors")}
    shutil.rmtree(last)
    assert train(config) == 0
    assert {path.name: sha256_of(path) for path in last.glob("*.safetensors")} == whole


def test_it_is_exported_and_read_back(parts: Assemble, tmp_path: Path, base: str) -> None:
    adapter = parts(*base.split()).step.module.adapter
    save_adapter(adapter, tmp_path / "adapter.safetensors", {})
    read = load_adapter(tmp_path / "adapter.safetensors")
    assert read.spec == adapter.spec
    ours, theirs = adapter.state_dict(), read.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
