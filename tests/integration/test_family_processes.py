"""However many processes share a batch, every family learns the same from it."""

import json
from pathlib import Path

import pytest

from tests.integration.conftest import run
from tests.training.test_family_contract import MICRO


@pytest.mark.long
@pytest.mark.parametrize("base", MICRO.values())
def test_two_processes_learn_what_one_learns(shards: Path, tmp_path: Path, base: str) -> None:
    losses = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        done = run(
            "train.py", "experiment=single_object", "recipe=smoke", f"data.root={shards}", f"run={folder}",
            "train.steps=2", "train.batch_size=4", "train.micro_batch_size=2", "logger=none", "logger.every=1",
            "validation.samples=0", "validation.images=0", *base.split(), f"launch.processes={processes}",
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
        losses.append([line["loss/train"] for line in lines if "loss/train" in line])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert len(losses[0]) == 2
