"""Small shards of all tasks, and parts assembled from them on the micro base."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ipai.config import TrainingRun
from ipai.files import sha256_of
from ipai.training.assemble import assemble
from ipai.training.loop import Parts
from ipai.training.run import make_accelerator, train
from tests.helpers.composing import compose
from tests.helpers.shard_writer import write_shards

Assemble = Callable[..., Parts]


def assert_resumed_alike(config: TrainingRun, run: Path) -> None:
    """Train two steps with a checkpoint each, lose the second, train on: the same bytes."""
    assert train(config) == 0
    last = run / "checkpoints" / "step-00000002"
    whole = {path.name: sha256_of(path) for path in last.glob("*.safetensors")}
    shutil.rmtree(last)
    assert train(config) == 0
    assert whole
    assert {path.name: sha256_of(path) for path in last.glob("*.safetensors")} == whole


@pytest.fixture(scope="session")
def joint_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small shards of all five tasks."""
    folder = tmp_path_factory.mktemp("joint")
    for task in ("copy", "style", "object", "structure", "face"):
        write_shards(folder, task, 6, size=64)
        write_shards(folder, task, 2, split="val", size=64)
    return folder


@pytest.fixture
def configure(joint_shards: Path, tmp_path: Path) -> Callable[..., TrainingRun]:
    """Compose a run of two steps of four samples on the micro base."""

    def make(*overrides: str) -> TrainingRun:
        defaults = ["experiment=joint", "recipe=smoke", f"data.root={joint_shards}", f"run={tmp_path / 'run'}"]
        small = ["base=micro", "train.steps=2", "train.batch_size=4", "validation.samples=1", "validation.images=0"]
        given = {override.split("=")[0] for override in overrides}
        kept = [text for text in [*defaults, *small, "logger=none"] if text.split("=")[0] not in given]
        return compose(*kept, *overrides)

    return make


@pytest.fixture
def parts(configure: Callable[..., TrainingRun]) -> Assemble:
    """Assemble a run's parts in this process."""

    def make(*overrides: str) -> Parts:
        config = configure(*overrides)
        return assemble(config, make_accelerator(config))

    return make
