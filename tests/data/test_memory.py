"""What the loader holds does not grow with the samples that went through it, and its workers hold no model."""

import os
from pathlib import Path

import pytest
import torch

from ipai.data.collate import collate
from ipai.data.loader import SlotBatches, make_loader
from tests.data.test_dataset import COUNTS, training
from tests.helpers.shard_writer import write_shards

MIB = 2**20
STATUS = Path("/proc/self/status")

pytestmark = pytest.mark.skipif(not STATUS.exists(), reason="reads Linux's /proc")


def resident(process: int | str = "self") -> int:
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    for task, count in COUNTS.items():
        write_shards(folder, task, count)
    return folder


def test_reading_on_takes_no_more_memory(root: Path) -> None:
    """8,000 samples after the first 1,000: a leak of more than a kilobyte a sample shows."""
    data = training(root)

    def read(first: int, last: int) -> None:
        for step in range(first, last):
            collate([data[step, slot] for slot in range(8)])

    read(0, 125)
    before = resident()
    read(125, 1125)
    assert resident() - before < 8 * MIB


def test_a_worker_does_not_hold_what_the_training_process_holds(root: Path) -> None:
    model = torch.ones(1000 * MIB // 4)
    batches = iter(make_loader(training(root), SlotBatches(0, 4, 8, 8, 0, 1), 1, 2, pin_memory=False))
    assert len(next(batches).keys) == 8
    (worker,) = batches._workers  # type: ignore[attr-defined]
    assert worker.pid != os.getpid()
    assert resident() > model.nbytes
    assert resident(worker.pid) < model.nbytes
