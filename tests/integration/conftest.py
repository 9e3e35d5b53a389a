"""Shards built by the real builder from a small COCO source, and the real commands run on them."""

import os
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from ipai.files import sha256_of
from tests.helpers.coco_source import write_coco_source
from tests.helpers.shared_folder import made_once
from tests.helpers.warm import Running, WarmServer

REPOSITORY = Path(__file__).parents[2]
STATE = ("adapter.safetensors", "ema.safetensors", "optimizer.safetensors")


def environment() -> dict[str, str]:
    """One thread a process: sums do not change with the number of cores, and the tests do not fight for them."""
    return os.environ | {"OMP_NUM_THREADS": "1", "HYDRA_FULL_ERROR": "1"}


def start(*command: str) -> Running:
    """Start a command of the project, warm unless the test has changed what imports read."""
    server = _warm_server()
    if server.fits(environment()):
        return server.start(command, REPOSITORY, environment())
    return subprocess.Popen(
        [sys.executable, *command], cwd=REPOSITORY, env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


@cache
def _warm_server() -> WarmServer:
    return WarmServer(environment())


def run(*command: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
    """Run a command of the project to its end and return what it printed, whatever its exit code."""
    process = start(*command)
    output, _ = process.communicate(timeout=timeout_s)
    return subprocess.CompletedProcess(command, process.returncode, output)


def training_command(shards: Path, folder: Path, *overrides: str) -> list[str]:
    """A run of 24 steps with a checkpoint every 6, on the object task."""
    return [
        "train.py", "experiment=single_object", "recipe=smoke", f"data.root={shards}", f"run={folder}",
        "train.steps=24", "train.learning_rate=3e-4", "checkpoint.every=6", "validation.every=12",
        "validation.images=0", "logger=none", *overrides,
    ]  # fmt: skip


def train(shards: Path, folder: Path, *overrides: str) -> Path:
    """Train to the end and return the final checkpoint."""
    result = run(*training_command(shards, folder, *overrides))
    assert result.returncode == 0, result.stdout
    return folder / "checkpoints" / "step-00000024"


def fingerprint(checkpoint: Path) -> dict[str, str]:
    """The hash of each state file of a checkpoint."""
    return {name: sha256_of(checkpoint / name) for name in STATE}


def stop(process: Running, number: signal.Signals) -> int:
    """Send a signal and return the exit code."""
    process.send_signal(number)
    process.communicate(timeout=120)
    return process.returncode


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Object-task shards that the real builder made of a small COCO, at the micro base's size."""

    def make(folder: Path) -> None:
        source = folder / "source"
        source.mkdir()
        write_coco_source(source, images=24, seed=0)
        result = run(
            "scripts/build_datasets.py", "task=object", f"source.root={source}", "source.split=val2017",
            f"output={folder}/shards", "captioner=template", "image_size=64",
        )  # fmt: skip
        assert result.returncode == 0, result.stdout

    return made_once(tmp_path_factory, "coco-shards", make) / "shards"


@pytest.fixture(scope="session")
def undisturbed(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The final checkpoint of a run that nothing interrupted."""

    def make(folder: Path) -> None:
        train(shards, folder / "run")

    return made_once(tmp_path_factory, "undisturbed", make) / "run" / "checkpoints" / "step-00000024"
