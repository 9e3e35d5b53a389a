"""What every family of bases keeps, on its miniature: a family that passes here trains, resumes and is exported."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import DictConfig
from PIL import Image
from safetensors.torch import load_file

from ipai.adapter import InstructAdapter, inject, load_adapter, save_adapter
from ipai.adapter.adapter import is_new_branch
from ipai.app.config import AppConfig
from ipai.app.fields import Fields
from ipai.app.session import Session
from ipai.backbones.config import TOY_BASES
from ipai.backbones.families import FAMILIES, family_of
from ipai.caching.building import fill_cache
from ipai.caching.config import parse as parse_caching
from ipai.caching.plan import plan_cache
from ipai.config import TrainingRun
from ipai.evaluation.config import EvaluationConfig
from ipai.evaluation.evaluating import evaluate
from ipai.pipeline.drawing import draw
from ipai.pipeline.export_settings import ExportConfig
from ipai.pipeline.exporting import export
from ipai.pipeline.settings import DrawingConfig
from ipai.schema import typed
from ipai.training.loop import Parts
from ipai.training.run import train
from tests.helpers.composing import CONF
from tests.helpers.shard_writer import write_shapes
from tests.helpers.specs import attention_sizes_of
from tests.training.conftest import assert_resumed_alike

MICRO = {
    "sd15": "base=micro",
    "sdxl": "base=micro_sdxl",
    "sd3": "base=micro_sd3 objective=flow",
    "flux": "base=micro_flux objective=flow",
    "prx": "base=micro_prx objective=flow",
    "prx_clip": "base=toy_prx objective=flow",
}
"""What chooses the miniature of each family."""

# prx_clip is prx with another text encoder.
BASES = [pytest.param(base, marks=[pytest.mark.long] if family == "prx_clip" else []) for family, base in MICRO.items()]
pytestmark = [pytest.mark.slow, pytest.mark.parametrize("base", BASES)]
Assemble = Callable[..., Parts]
Configure = Callable[..., TrainingRun]


def test_every_family_is_held_to_it(base: str) -> None:
    assert MICRO.keys() == FAMILIES.keys()


def test_targets_of_other_shapes_train_and_resume(configure: Configure, tmp_path: Path, base: str) -> None:
    for task in ("copy", "style"):
        write_shapes(tmp_path / "shards", task, 20)
        write_shapes(tmp_path / "shards", task, 3, split="val")
    buckets = ["base.resolution=128", "data.buckets.max_aspect=3", "data.buckets.step=64"]
    shown = ["validation.images=1", "validation.every=1", "validation.image_every=2", "validation.image_steps=1"]
    config = configure(
        *base.split(), *buckets, *shown, f"data.root={tmp_path / 'shards'}", "tasks=[copy,style]",
        "validation.samples=3", "checkpoint.every=1",
    )  # fmt: skip
    assert_resumed_alike(config, tmp_path / "run")


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


def test_computing_activations_again_changes_no_gradient(parts: Assemble, base: str) -> None:
    """Some hosts hold the tokens of the call that is running: they must still be there in the backward pass."""
    gradients = []
    for again in ("false", "true"):
        built = parts(*base.split(), f"train.gradient_checkpointing={again}")
        built.step.module.train()
        stream = built.micro_batches(0)
        for batch in (next(stream), next(stream)):
            built.step.error(batch).mean().backward()
        named = built.step.module.adapter.named_parameters()
        gradients.append({name: p.grad.clone() for name, p in named if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.long
def test_it_trains_in_bfloat16(configure: Callable[..., TrainingRun], tmp_path: Path, base: str) -> None:
    config = configure(*base.split(), f"run={tmp_path / 'run'}", "base.dtype=bf16", "validation.images=1")
    AcceleratorState._reset_state(True)  # a process has one precision
    try:
        assert train(config) == 0
    finally:
        AcceleratorState._reset_state(True)
    saved = load_file(tmp_path / "run/checkpoints/step-00000002/adapter.safetensors")
    assert all(tensor.isfinite().all() for tensor in saved.values())


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
    assert_resumed_alike(config, tmp_path / "a" / "run")


def test_it_is_exported_and_read_back(parts: Assemble, tmp_path: Path, base: str) -> None:
    adapter = parts(*base.split()).step.module.adapter
    save_adapter(adapter, tmp_path / "adapter.safetensors", {})
    read = load_adapter(tmp_path / "adapter.safetensors")
    assert read.spec == adapter.spec
    ours, theirs = adapter.state_dict(), read.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.long
@pytest.mark.parametrize("experiment", ["fixed_instruction", "task_embedding", "single_style", "joint_ablation"])
def test_every_kind_of_experiment_takes_two_steps(
    configure: Callable[..., TrainingRun], tmp_path: Path, base: str, experiment: str
) -> None:
    config = configure(*base.split(), f"experiment={experiment}", f"run={tmp_path / 'run'}")
    assert train(config) == 0
    saved = load_file(tmp_path / "run/checkpoints/step-00000002/adapter.safetensors")
    assert all(tensor.isfinite().all() for tensor in saved.values())


def composed(command: str, *overrides: str) -> DictConfig:
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        return hydra_compose(command, overrides=list(overrides))


class NoBar:
    """Stands where commands have their bars."""

    def __call__(self, *_: object) -> "NoBar":
        return self

    def __enter__(self) -> "NoBar":
        return self

    def __exit__(self, *_: object) -> None:
        pass


def test_every_command_works_on_it(
    configure: Callable[..., TrainingRun], joint_shards: Path, tmp_path: Path, base: str
) -> None:
    """Cached, trained from the cache, evaluated, exported, drawn from the export, and on the page."""
    cache, run, picture = f"data.cache={tmp_path / 'cache'}", tmp_path / "run", tmp_path / "condition.png"
    name = base.split()[0]
    caching = ("data.workers=0", "image_tokens=true", f"data.root={joint_shards}", "splits=[train]")
    config = parse_caching(composed("cache_latents", name, cache, *caching))
    fill_cache(config, plan_cache(config), lambda _count: None)
    cached = ("data.latents=cache", "data.image_tokens=cache", "validation.samples=0", "validation.images=0")
    assert train(configure(*base.split(), f"run={run}", cache, *cached)) == 0
    few = ("limit=1", "tasks=[style]", "steps=1", "crossed=0", "oracles=0", "clip.model=toy", "wandb=off")
    done = evaluate(typed(composed("evaluate", f"run={run}", *few), EvaluationConfig), NoBar())  # type: ignore[arg-type]
    assert "style" in (done.folder / "scores.json").read_text()
    exported = ("licence=mit", f"checkpoint={run}", f"output={tmp_path / 'exported'}")
    card = (export(typed(composed("export", *exported), ExportConfig)) / "README.md").read_text()
    config = configure(*base.split()).base
    family = family_of(config)
    assert family.called in card
    assert ("random" in card) == config.random_weights
    assert ("belongs to a toy world" in card) == (config.name in TOY_BASES)
    Image.effect_noise((70, 60), 80).convert("RGB").save(picture)
    drawing = (f"checkpoint={tmp_path / 'exported'}", f"image={picture}", "prompt=a cat", "steps=2")
    for sampler in list(family.samplers)[:4]:
        output = tmp_path / f"{sampler}.png"
        settings = composed(
            "generate", *drawing, "instruction=[use the style]", f"output={output}", f"scheduler={sampler}"
        )
        draw(typed(settings, DrawingConfig), lambda: None)
        assert Image.open(output).size == (64, 64)
    app = typed(composed("app", f"checkpoint={tmp_path / 'exported'}", f"keep={tmp_path}", "steps=1"), AppConfig)
    fields = Fields(
        Image.open(picture), "use the style", "", "a cat", "", "0", 1.0, "ordinary", 5, 1, None, None, 0.5,
        None, None, 1.0, None, 1.0,
    )  # fmt: skip
    assert [one.path.is_file() for one in Session(app).draw(fields)] == [True]
