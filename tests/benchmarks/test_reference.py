"""The yardstick does what it says: fp32 UNet weights, frozen base, an adapter that learns."""

from itertools import cycle, islice
from pathlib import Path

import pytest
import torch

from benchmarks.options import Options
from benchmarks.ours import composed
from benchmarks.reference import TutorialStep, tutorial_batches
from benchmarks.shards import TASKS, ensure_shards
from ipai.training.run import make_accelerator
from tests.helpers.composing import compose


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    root = ensure_shards(tmp_path_factory.mktemp("work"), 2)
    return [str(root / task / "train-000000.tar") for task in TASKS]


def test_a_reference_step_trains_the_adapter_and_nothing_else(files: list[str]) -> None:
    config = compose("experiment=joint", "recipe=smoke", "logger=none", "data.root=unused")
    step = TutorialStep(config.base, make_accelerator(config), tutorial_batches(config.base, files, 2))
    trained = {id(parameter) for group in step.optimizer.param_groups for parameter in group["params"]}
    model = step.model
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    losses = [step(), step()]
    assert all(0 < loss < 10 for loss in losses)
    moved = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved
    assert moved <= {name for name, parameter in model.named_parameters() if id(parameter) in trained}
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_the_reference_reads_every_sample_of_the_shards(files: list[str]) -> None:
    config = compose("experiment=joint", "recipe=smoke", "logger=none", "data.root=unused")
    batches = list(islice(tutorial_batches(config.base, files, 2), 3))
    assert [batch["images"].shape[0] for batch in batches] == [2, 2, 2]
    assert batches[0]["clip_images"].shape[1:] == (3, config.base.image_size, config.base.image_size)
    pictures = [picture for batch in batches for picture in batch["images"]]
    assert all(
        not torch.equal(one, other) for one, other in zip(pictures, islice(cycle(pictures), 1, None), strict=False)
    )


@pytest.mark.slow
def test_what_it_composes_is_a_joint_training_without_extras(tmp_path: Path) -> None:
    options = Options(quick=True, work=tmp_path, rounds=1, repeats=1, batch_size=2)
    config = composed(options)
    assert config.train.batch_size == 2
    assert config.train.ema_half_life is None
    assert config.validation.samples == config.validation.images == 0
    assert set(config.tasks) == set(TASKS)
