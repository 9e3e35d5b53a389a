"""A run that goes on must be made from what it was made from; whatever differs is named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ipai.backbones.micro import ensure_micro
from ipai.config import TrainingRun
from ipai.errors import ConfigError, DataError
from ipai.files import sha256_of, write_json
from ipai.runs import checkpoint
from ipai.training import made_from
from ipai.training.assemble import assemble
from ipai.training.run import make_accelerator, train
from tests.helpers.shard_writer import sample, write_shard

pytestmark = pytest.mark.slow

Configure = Callable[..., TrainingRun]
SHORT = ("experiment=single_style", "train.steps=1", "train.batch_size=2", "checkpoint.every=1", "data.workers=0")
LONG = tuple(text.replace("train.steps=1", "train.steps=2") for text in SHORT)


@pytest.fixture
def shards(joint_shards: Path, tmp_path: Path) -> Path:
    """A copy of the shards that a test may change."""
    return Path(shutil.copytree(joint_shards, tmp_path / "shards"))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A copy of the miniature's weights."""
    return Path(shutil.copytree(ensure_micro(), tmp_path / "base"))


def of(base: Path) -> list[str]:
    """The settings that take all parts from a folder."""
    parts = ("unet", "vae", "text_encoder", "tokenizer", "image_encoder", "scheduler", "instruction_encoder")
    return [f"base.{part}.id={base}" for part in parts]


def resume(configure: Configure, *overrides: str) -> int:
    """Go on with a run whose first step is done, as if its command had always asked for two."""
    config = configure(*LONG, *overrides)
    folder = Path(config.run)
    frozen = yaml.safe_load((folder / "config.yaml").read_text())
    frozen["train"]["steps"] = 2
    (folder / "config.yaml").write_text(yaml.safe_dump(frozen))
    path = folder / "checkpoints/step-00000001/state.json"
    state = json.loads(path.read_text())
    state.pop("seal")
    del state["origin"]["settings"]  # the one thing that this helper changes on purpose
    write_json(path, state | {"seal": checkpoint._seal_of(state)})
    made = json.loads((folder / "made_from.json").read_text())
    made.pop("settings")
    write_json(folder / "made_from.json", made)
    return train(config)


def flip(path: Path, place: int) -> None:
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_nothing_changed_and_it_goes_on(configure: Configure, shards: Path) -> None:
    overrides = [f"data.root={shards}"]
    assert train(configure(*SHORT, *overrides)) == 0
    moved = shards.rename(shards.with_name("moved"))
    assert resume(configure, f"data.root={moved}", "verify=true") == 0


def test_other_shards_are_named(configure: Configure, shards: Path) -> None:
    overrides = [f"data.root={shards}"]
    assert train(configure(*SHORT, *overrides)) == 0
    path = shards / "style" / "train-000000.tar"
    write_shard(path, [sample("style", 100 + number, 64) for number in range(3)])
    with pytest.raises(ConfigError, match=r"(?s)other files than are there now.*shards of style, train"):
        resume(configure, *overrides)


def test_flipped_weights_are_named(configure: Configure, base: Path) -> None:
    assert train(configure(*SHORT, *of(base))) == 0
    path = base / "unet" / "diffusion_pytorch_model.safetensors"
    flip(path, path.stat().st_size // 2 + 5)
    with pytest.raises(ConfigError, match=r"weights: unet/diffusion_pytorch_model\.safetensors"):
        resume(configure, *of(base))


def test_other_instructions_are_named(configure: Configure, tmp_path: Path) -> None:
    pools = tmp_path / "pools"
    pools.mkdir()
    for split in ("train", "val"):
        (pools / f"style.{split}.txt").write_text("".join(f"use the style {split} {n}\n" for n in range(5)))
    overrides = [f"instructions.pools={pools}"]
    assert train(configure(*SHORT, *overrides)) == 0
    (pools / "style.train.txt").write_text("use the style differently\n")
    with pytest.raises(ConfigError, match="instructions of style, train"):
        resume(configure, *overrides)


def test_a_list_that_was_lost_does_not_let_other_files_in(configure: Configure, shards: Path, tmp_path: Path) -> None:
    overrides = [f"data.root={shards}"]
    assert train(configure(*SHORT, *overrides)) == 0
    write_shard(shards / "style" / "train-000000.tar", [sample("style", 100, 64)])
    config = configure(*SHORT, *overrides)
    (tmp_path / "run" / "made_from.json").unlink()
    state = tmp_path / "run/checkpoints/step-00000001"
    facts = assemble(config, make_accelerator(config)).made_from
    with pytest.raises(ConfigError, match="is gone, which told what"):
        made_from.compare(tmp_path / "run", facts, checkpoint.origin_of(state))


@pytest.mark.parametrize("change", ["train.seed=7", pytest.param("train.learning_rate=1e-2", marks=pytest.mark.long)])
def test_a_lost_configuration_lets_no_other_settings_in(configure: Configure, tmp_path: Path, change: str) -> None:
    assert train(configure(*SHORT)) == 0
    (tmp_path / "run" / "config.yaml").unlink()
    with pytest.raises(ConfigError, match=r"made with other settings.*config\.yaml was lost"):
        train(configure(*SHORT, change))
    (tmp_path / "run" / "config.yaml").unlink()
    assert train(configure(*SHORT)) == 0


def test_a_shard_of_another_task_is_refused(configure: Configure, shards: Path) -> None:
    shutil.copy(shards / "object" / "train-000000.tar", shards / "style" / "train-000009.tar")
    with pytest.raises(DataError, match=r"train-000009\.tar holds samples of the task 'object'"):
        train(configure(*SHORT, f"data.root={shards}"))


def test_samples_in_both_splits_are_refused(configure: Configure, shards: Path) -> None:
    shutil.copy(shards / "style" / "train-000000.tar", shards / "style" / "val-000009.tar")
    with pytest.raises(DataError, match=r"3 samples of style are in its train-\*\.tar and its val-\*\.tar"):
        train(configure(*SHORT, f"data.root={shards}"))


def test_verify_reads_every_shard_against_its_sidecar(configure: Configure, shards: Path) -> None:
    path = shards / "style" / "train-000000.tar"
    write_json(path.with_suffix(".json"), {"bytes": path.stat().st_size, "sha256": sha256_of(path)})
    assert train(configure(*SHORT, f"data.root={shards}", "verify=true")) == 0
    flip(path, path.stat().st_size // 2)
    with pytest.raises(DataError, match=r"train-000000\.tar is not what train-000000\.json says"):
        train(configure(*SHORT, f"data.root={shards}", "verify=true", f"run={shards}/other"))


def bad_record(members: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return members | {"json": json.dumps(json.loads(members["json"]) | changes).encode()}


@pytest.mark.parametrize(
    ("task", "spoil", "reason"),
    [
        ("copy", lambda good: bad_record(good, prompt=None), "no_prompt"),
        ("copy", lambda good: good | {"json": b'{"prompt": '}, "damaged_json"),
        pytest.param("copy", lambda good: good | {"json": b"[1, 2]"}, "damaged_json", marks=pytest.mark.long),
        pytest.param("object", lambda good: bad_record(good, slot=None), "no_name", marks=pytest.mark.long),
        pytest.param("object", lambda good: bad_record(good, slot=["zebra"]), "no_name", marks=pytest.mark.long),
        ("object", lambda good: bad_record(good, slot="{x}"), "no_name"),
    ],
)
def test_a_record_that_cannot_be_used_is_skipped_and_counted(
    configure: Configure, shards: Path, tmp_path: Path, task: str, spoil: Callable[[Any], Any], reason: str
) -> None:
    for path in (shards / task).glob("train-*.tar"):
        path.unlink()
    samples = [sample(task, number, 64) for number in range(6)]
    write_shard(shards / task / "train-000000.tar", [spoil(samples[0]), *samples[1:]])
    overrides = ["train.steps=3", "train.batch_size=8", "data.drop.text=0", "data.drop.both=0", "data.drop.image=0"]
    wording = (
        ["instructions.source=fixed", f"instructions.fixed.{task}='use the {{object}}'"] if task == "object" else []
    )
    assert train(configure(f"experiment=single_{task}", f"data.root={shards}", *overrides, *wording)) == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert max(line.get("data/skipped", 0) for line in lines) >= 3  # four epochs of six samples hold it four times
