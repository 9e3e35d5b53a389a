"""Every experiment and every recipe of the design trains two steps on the micro base."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ipai.adapter.formats import load_adapter
from ipai.config import TrainingRun
from ipai.errors import DataError
from ipai.training.run import train
from tests.helpers.composing import CONF
from tests.helpers.shard_writer import sample, write_shard

pytestmark = pytest.mark.slow

Configure = Callable[..., TrainingRun]
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
SINGLE = {"single_copy", "single_face", "single_object", "single_structure"}
RECIPES = sorted(path.stem for path in (CONF / "recipe").glob("*.yaml"))
BASE_OF_RECIPE = {"toy_prx": "toy_prx"}
"""A recipe for flow matching needs a base that learned it."""


@pytest.mark.parametrize(("experiment", "recipe"), [
    *(
        # The single tasks differ in their data alone.
        pytest.param(name, "smoke", marks=[pytest.mark.long] if name in SINGLE else []) for name in EXPERIMENTS
    ),
    *(("joint", name) for name in RECIPES if name != "smoke"),
])  # fmt: skip
def test_it_trains(configure: Configure, tmp_path: Path, experiment: str, recipe: str) -> None:
    base = BASE_OF_RECIPE.get(recipe, "micro")
    config = configure(f"experiment={experiment}", f"recipe={recipe}", f"base={base}", "data.workers=0")
    assert train(config) == 0
    adapter = load_adapter(tmp_path / "run/checkpoints/latest/adapter.safetensors")
    assert adapter.spec.instruction == ("task_embedding" if experiment == "task_embedding" else "tokens")


@pytest.mark.parametrize(
    "overrides",
    [
        ["adapter=ip_adapter_plus"],
        ["adapter=instruct_released"],
        ["adapter.instruction=pooled", "train.clip_norm=null", "train.ema_half_life=null", "train.schedule=cosine"],
        ["adapter.mask_padding=true", "objective.min_snr_gamma=5.0", "train.gradient_checkpointing=true"],
        ["data.workers=2", "validation.samples=0", "train.warmup_steps=1"],
    ],
    ids=lambda overrides: " ".join(overrides),
)
def test_options_train_too(configure: Configure, tmp_path: Path, overrides: list[str]) -> None:
    assert train(configure(*overrides)) == 0
    assert (tmp_path / "run/checkpoints/latest/adapter.safetensors").exists()
    assert (tmp_path / "run/checkpoints/latest/ema.safetensors").exists() == (
        "train.ema_half_life=null" not in overrides
    )


@pytest.mark.long
def test_a_compiled_run_trains_and_saves_plain_names(configure: Configure, tmp_path: Path) -> None:
    assert train(configure("train.compile=true")) == 0
    load_adapter(tmp_path / "run/checkpoints/latest/adapter.safetensors")  # strict by name


def damage(shards: Path, broken: int) -> None:
    """Replace the copy task's training shard by one whose first samples are no pictures."""
    good = [sample("copy", index, 64) for index in range(6)]
    bad = [members | {"target.png": b"not a picture"} for members in good[:broken]]
    for path in (shards / "copy").glob("train-*.tar"):
        path.unlink()
    write_shard(shards / "copy" / "train-000000.tar", [*bad, *good[broken:]])


@pytest.fixture
def own_shards(joint_shards: Path, tmp_path: Path) -> Path:
    """A copy of the shards that a test may damage."""
    return Path(shutil.copytree(joint_shards, tmp_path / "shards"))


def test_a_few_damaged_samples_are_counted_and_do_not_stop_the_run(
    configure: Configure, own_shards: Path, tmp_path: Path
) -> None:
    damage(own_shards, broken=1)
    assert train(configure("experiment=single_copy", f"data.root={own_shards}", "train.steps=3")) == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-2]["data/skipped"] >= 2  # two epochs of six samples hold the broken one twice
    state = json.loads((tmp_path / "run/checkpoints/latest/state.json").read_text())
    assert state["skipped_samples"] == lines[-2]["data/skipped"]


def test_instructions_that_the_encoder_cuts_are_counted(configure: Configure, tmp_path: Path) -> None:
    wording = "'" + "use the style and nothing else " * 30 + "'"
    overrides = ["experiment=single_style", "instructions.source=fixed", f"instructions.fixed.style={wording}"]
    config = configure(*overrides, "train.steps=2", "logger.every=1", "data.drop.image=0", "data.drop.both=0")
    assert train(config) == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    counted = [line["data/instructions_cut"] for line in lines if "data/instructions_cut" in line]
    assert counted == [config.train.batch_size] * 2


def test_too_many_damaged_samples_stop_the_run_with_the_reasons(configure: Configure, own_shards: Path) -> None:
    damage(own_shards, broken=3)
    config = configure("experiment=single_copy", f"data.root={own_shards}", "data.max_skip_fraction=0.001")
    with pytest.raises(DataError, match="not_an_image"):
        train(config)


def test_validation_and_pictures_leave_the_training_untouched(configure: Configure, tmp_path: Path) -> None:
    states = []
    for name, overrides in {"without": ["validation.samples=0"],
                            "with": ["validation.every=1", "validation.images=1", "validation.image_every=1",
                                     "validation.image_steps=2", "validation.clip_model=toy"]}.items():  # fmt: skip
        assert train(configure(f"run={tmp_path / name}", *overrides)) == 0
        states.append((tmp_path / name / "checkpoints/latest/adapter.safetensors").read_bytes())
    assert states[0] == states[1]
    assert len(list((tmp_path / "with" / "samples").glob("*.png"))) == 15  # five tasks, before and after each step
    lines = [json.loads(line) for line in (tmp_path / "with" / "metrics.jsonl").read_text().splitlines()]
    scored = [line for line in lines if "validation/clip_i/style" in line]
    assert [line["samples_seen"] for line in scored] == [0, 4, 8]
    assert {name.rpartition("/")[0] for line in scored for name in line} >= {"validation/clip_i", "validation/clip_p"}
    assert all(
        -1 <= line["validation/clip_i/copy"] <= 1 and 0 <= line["validation/clip_p/face"] <= 2.5 for line in scored
    )
