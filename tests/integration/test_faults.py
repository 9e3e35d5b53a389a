"""`make test-faults`: whatever breaks, the same command ends with the bytes of a run that nothing disturbed."""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ipai.runs import outcome
from tests.helpers.faults import KILL_AT, signal_all, until_path
from tests.integration.conftest import (
    REPOSITORY,
    environment,
    fingerprint,
    run,
    start,
    stop,
    train,
    training_command,
)

pytestmark = pytest.mark.faults

_PLACES = {
    "the second file of a checkpoint": """
import ipai.runs.checkpoint as c
calls, sync = [], c.sync
def fatal(path):
    calls.append(path)
    if len(calls) == 6: os.kill(os.getpid(), signal.SIGKILL)
    sync(path)
c.sync = fatal
""",
    "before a checkpoint's rename": """
import ipai.runs.checkpoint as c
calls, write_json = [], c.write_json
def fatal(*a):
    write_json(*a); calls.append(a)
    if len(calls) == 2: os.kill(os.getpid(), signal.SIGKILL)
c.write_json = fatal
""",
    "before the link to the newest": """
import ipai.runs.checkpoint as c
calls, link = [], c._link_latest
def fatal(*a):
    calls.append(a)
    if len(calls) == 2: os.kill(os.getpid(), signal.SIGKILL)
    link(*a)
c._link_latest = fatal
""",
    "half way through removing an old one": """
import ipai.runs.checkpoint as c
rmtree = c.shutil.rmtree
def fatal(path, *a, **k):
    if Path(path).name.startswith("step-") and Path(path).exists():
        next(Path(path).glob("*.safetensors")).unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    rmtree(path, *a, **k)
c.shutil.rmtree = fatal
""",
    "an evaluation": """
import ipai.training.validation as v
calls, losses = [], v.Validator.losses
def fatal(*a):
    calls.append(a)
    if len(calls) == 2: os.kill(os.getpid(), signal.SIGKILL)
    return losses(*a)
v.Validator.losses = fatal
""",
    "a sample being read": """
import ipai.data.shards as s
calls, read = [], s.ShardSet.read
def fatal(*a, **k):
    calls.append(a)
    if len(calls) == 90: os.kill(os.getpid(), signal.SIGKILL)
    return read(*a, **k)
s.ShardSet.read = fatal
""",
    "an optimizer step": """
import torch
calls, step = [], torch.optim.AdamW.step
def fatal(*a, **k):
    calls.append(a)
    if len(calls) == 10: os.kill(os.getpid(), signal.SIGKILL)
    return step(*a, **k)
torch.optim.AdamW.step = fatal
""",
}


@pytest.mark.parametrize("place", _PLACES)
def test_kill_9_in_the_middle_of(place: str, shards: Path, undisturbed: Path, tmp_path: Path) -> None:
    words = training_command(shards, tmp_path / "run", "checkpoint.keep=1")
    killed = run("-c", KILL_AT.format(setup=_PLACES[place], argv=words))
    assert killed.returncode == -signal.SIGKILL, killed.stdout
    assert fingerprint(train(shards, tmp_path / "run", "checkpoint.keep=1")) == fingerprint(undisturbed)


def test_kill_9_at_random_moments(
    shards: Path, undisturbed: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    chance, folder, kills = random.Random(1), tmp_path / "run", 0
    for _ in range(4):
        process = start(*training_command(shards, folder, "checkpoint.every=1", "checkpoint.keep=1"))
        time.sleep(chance.uniform(4, 12))
        kills += stop(process, signal.SIGKILL) == -signal.SIGKILL
    assert kills
    record_property("faults", kills)
    assert fingerprint(train(shards, folder, "checkpoint.every=1", "checkpoint.keep=1")) == fingerprint(undisturbed)


def _truncate(checkpoint: Path) -> None:
    os.truncate(checkpoint / "optimizer.safetensors", 1000)


def _flip(checkpoint: Path) -> None:
    content = bytearray((checkpoint / "adapter.safetensors").read_bytes())
    content[len(content) // 2] ^= 1
    (checkpoint / "adapter.safetensors").write_bytes(content)


def _remove(checkpoint: Path) -> None:
    (checkpoint / "ema.safetensors").unlink()


def _garble_state(checkpoint: Path) -> None:
    (checkpoint / "state.json").write_text('{"format": 1')


@pytest.mark.parametrize("damage", [_truncate, _flip, _remove, _garble_state])
def test_a_damaged_newest_checkpoint_costs_what_came_after_the_one_before(
    damage: Callable[[Path], None], shards: Path, undisturbed: Path, tmp_path: Path
) -> None:
    whole, frozen = undisturbed.parents[1], tmp_path / "run" / "config.yaml"
    shutil.copytree(whole, tmp_path / "run", symlinks=True)
    frozen.write_text(frozen.read_text().replace(str(whole), str(tmp_path / "run")))
    damage(tmp_path / "run" / "checkpoints" / "step-00000024")
    assert fingerprint(train(shards, tmp_path / "run")) == fingerprint(undisturbed)


def test_a_full_disk_stops_with_the_reason_and_leaves_older_checkpoints(
    shards: Path, undisturbed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    process = start(*training_command(shards, folder))
    until_path(folder / "checkpoints" / "latest", process)
    stop(process, signal.SIGKILL)
    smallest = (folder / "checkpoints" / "latest" / "adapter.safetensors").stat().st_size // 2

    def no_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (smallest, smallest))

    full = subprocess.run(
        [sys.executable, *training_command(shards, folder)], cwd=REPOSITORY, env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=no_room, check=False,
    )  # fmt: skip
    assert full.returncode == 2, full.stdout
    assert "could not be written" in full.stdout
    end = outcome.read(folder)
    assert end is not None
    assert "could not be written" in end.reason.splitlines()[0]
    assert not list((folder / "checkpoints").glob(".step*"))
    assert fingerprint(train(shards, folder)) == fingerprint(undisturbed)


def test_sigterm_during_start_up_leaves_a_folder_that_goes_on(shards: Path, undisturbed: Path, tmp_path: Path) -> None:
    for seconds in (0.5, 3, 6):
        process = start(*training_command(shards, tmp_path / "run"))
        time.sleep(seconds)
        assert stop(process, signal.SIGTERM) in (-signal.SIGTERM, 143)
    assert fingerprint(train(shards, tmp_path / "run")) == fingerprint(undisturbed)


def test_slurms_signal_to_every_process_still_saves(shards: Path, undisturbed: Path, tmp_path: Path) -> None:
    """Launcher, ranks, decoding workers and what forks them all get the signal, and the launcher passes it on too."""
    words = training_command(
        shards, tmp_path / "run", "launch.processes=2", "data.workers=1", "checkpoint.signal_check_every=2",
        "train.steps=100000", "checkpoint.every=100000",
    )  # fmt: skip
    process = start(*words)
    until_path(tmp_path / "run" / "metrics.jsonl", process)
    time.sleep(3)
    signal_all(process, signal.SIGUSR2)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGUSR2, output
    assert (tmp_path / "run" / "checkpoints" / "latest" / "state.json").exists(), output
    end = outcome.read(tmp_path / "run")
    assert end is not None
    assert (end.state, end.reason) == ("stopped", "stopped by SIGUSR2; the same command continues")


def test_a_run_in_a_clock_that_jumps_ends_with_the_same_bytes(shards: Path, undisturbed: Path, tmp_path: Path) -> None:
    clock = (
        "import time\nreal, jumps = time.time, iter(range(10**9))\ntime.time = lambda: real() - 3600 * next(jumps)\n"
    )
    done = run("-c", KILL_AT.format(setup=clock, argv=training_command(shards, tmp_path / "run")))
    assert done.returncode == 0, done.stdout
    assert fingerprint(tmp_path / "run" / "checkpoints" / "step-00000024") == fingerprint(undisturbed)
