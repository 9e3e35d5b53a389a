"""A run that is killed, stopped or cut differently ends as if nothing had happened."""

import json
import random
import signal
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.integration.conftest import fingerprint, run, start, stop, train, training_command

pytestmark = pytest.mark.slow


def wait_for_checkpoint(folder: Path) -> None:
    deadline = time.monotonic() + 120
    while not (folder / "checkpoints" / "latest").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_until_training(folder: Path, since: float) -> None:
    """Wait for the metrics file, which is opened right before the first step; a finished run never opens it."""
    deadline, metrics = time.monotonic() + 60, folder / "metrics.jsonl"
    finished = folder / "checkpoints" / "step-00000024"
    while not finished.exists() and not (metrics.exists() and metrics.stat().st_mtime > since):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def assert_close(cut: Path, whole: Path) -> None:
    """Adapter and average agree: sums in another order round differently, and AdamW enlarges it.

    With AVX2 alone 4e-9 on average and 1.03e-5 at one of 395,488 parameters; a step moves each by up to 3e-4.
    """
    most = 2e-5 if torch.backends.cpu.get_cpu_capability() == "AVX2" else 1e-5
    for name in ("adapter.safetensors", "ema.safetensors"):
        left, right = load_file(cut / name), load_file(whole / name)
        assert left.keys() == right.keys()
        for key in left:
            torch.testing.assert_close(left[key], right[key], rtol=0, atol=most)
        apart = torch.cat([(left[key] - right[key]).abs().flatten() for key in left])
        assert apart.mean() < 2e-8


@pytest.mark.long
@pytest.mark.parametrize("kills", [pytest.param(4, marks=pytest.mark.ci), 10])
def test_kills_change_nothing(shards: Path, undisturbed: Path, tmp_path: Path, kills: int) -> None:
    """kill -9 at random moments, from start-up to the last step, and the same command each time."""
    chance, folder = random.Random(0), tmp_path / "run"
    for kill in range(kills):
        began, process = time.time(), start(*training_command(shards, folder))
        if kill % 5:  # the others hit the start-up
            wait_until_training(folder, since=began)
        time.sleep(chance.uniform(0, 2.5))
        assert stop(process, signal.SIGKILL) in (-signal.SIGKILL, 0)
    assert fingerprint(train(shards, folder)) == fingerprint(undisturbed)


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGUSR1, marks=pytest.mark.long)])
def test_a_stop_signal_saves_and_leaves_with_the_schedulers_code(
    shards: Path, undisturbed: Path, tmp_path: Path, number: signal.Signals
) -> None:
    process = start(*training_command(shards, tmp_path / "run", "checkpoint.every=2"))
    wait_for_checkpoint(tmp_path / "run")
    assert stop(process, number) == 128 + number
    assert fingerprint(train(shards, tmp_path / "run")) == fingerprint(undisturbed)


def test_a_second_process_on_one_folder_is_refused(shards: Path, tmp_path: Path) -> None:
    process = start(*training_command(shards, tmp_path / "run", "train.steps=100000", "checkpoint.every=2"))
    wait_for_checkpoint(tmp_path / "run")
    result = run(*training_command(shards, tmp_path / "run", "train.steps=100000", "checkpoint.every=2"))
    stop(process, signal.SIGKILL)
    assert result.returncode == 2
    assert "another process is writing" in result.stdout


@pytest.mark.long
def test_metrics_of_an_interrupted_run_have_no_gap_and_no_double(
    shards: Path, undisturbed: Path, tmp_path: Path
) -> None:
    process = start(*training_command(shards, tmp_path / "run", "logger.every=1"))
    wait_for_checkpoint(tmp_path / "run")
    stop(process, signal.SIGKILL)
    train(shards, tmp_path / "run", "logger.every=1")
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["samples_seen"] for line in lines if "loss/train" in line] == [8 * step for step in range(1, 25)]
    assert [line["samples_seen"] for line in lines if "validation/loss" in line] == [0, 96, 192]


@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param(("train.micro_batch_size=4",), marks=pytest.mark.long),
        pytest.param(("launch.processes=2", "checkpoint.signal_check_every=1"), marks=pytest.mark.long),
    ],
    ids=["1 x 4 x 2", "2 x 4"],
)
def test_every_cut_of_the_batch_gives_the_same_adapter(
    shards: Path, undisturbed: Path, tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    assert_close(train(shards, tmp_path / "run", *overrides), undisturbed)


@pytest.mark.ci
@pytest.mark.long
def test_a_run_goes_on_with_another_number_of_processes(shards: Path, undisturbed: Path, tmp_path: Path) -> None:
    process = start(
        *training_command(shards, tmp_path / "run", "launch.processes=2", "checkpoint.signal_check_every=1")
    )
    wait_for_checkpoint(tmp_path / "run")
    assert stop(process, signal.SIGTERM) == 143
    assert_close(train(shards, tmp_path / "run"), undisturbed)
