"""What becomes of the processes that decode when the one that trains is killed."""

import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

OWNER = """
    import os, time
    from pathlib import Path
    import torch
    from ipai.data import loader
    from ipai.data.dataset import TrainingDataset

    class Slow(TrainingDataset):
        def __init__(self):
            pass

        def __getitem__(self, place):
            Path("workers", str(os.getpid())).touch()
            time.sleep(600)

    if __name__ == "__main__":
        Path("workers").mkdir()
        list(loader.make_loader(Slow(), loader.SlotBatches(0, 4, 2, 2, 0, 1), 2, 2, pin_memory=False))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_workers_end_with_a_killed_training(tmp_path: Path) -> None:
    """They are deaf to stop signals, and what forked them lives as long as they do."""
    (tmp_path / "owner.py").write_text(textwrap.dedent(OWNER), encoding="utf-8")
    owner = subprocess.Popen([sys.executable, "owner.py"], cwd=tmp_path)
    workers = tmp_path / "workers"
    deadline = time.monotonic() + 90
    while not workers.is_dir() or len(list(workers.iterdir())) < 2:
        assert owner.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    owner.kill()
    owner.wait()
    deadline = time.monotonic() + 20
    while any(Path("/proc", worker.name).exists() for worker in workers.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
