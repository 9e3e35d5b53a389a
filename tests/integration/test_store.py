"""Training from an S3 server on loopback: the bytes of training from a folder, whatever the server does."""

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("s3fs")
pytest.importorskip("moto")

from ipai.runs import outcome
from tests.helpers.faults import KILL_AT, until_path
from tests.helpers.s3 import _SECRET, Store, serving
from tests.helpers.warm import Running
from tests.integration.conftest import STATE, fingerprint, run, start, stop, train, training_command

pytestmark = pytest.mark.slow

_TRY_LATER = 75
GONE = 10**9


@pytest.fixture
def store(shards: Path) -> Iterator[tuple[Store, str]]:
    """A server that holds the shards, and their address."""
    with serving() as server:
        yield server, server.put(shards, "data")


def remote(root: str, folder: Path, *overrides: str) -> list[str]:
    """The command of `train`, with shards from the store and a cache for this test alone."""
    words = training_command(Path("unused"), folder, f"data.store.cache={folder}-cache", *overrides)
    return [word for word in words if not word.startswith("data.root=")] + [f"data.root={root}"]


def final(folder: Path) -> dict[str, str]:
    return fingerprint(folder / "checkpoints" / "step-00000024")


def test_training_from_s3_gives_the_bytes_of_training_from_a_folder(
    store: tuple[Store, str], undisturbed: Path, tmp_path: Path
) -> None:
    server, root = store
    done = run(*remote(root, tmp_path / "run"))
    assert done.returncode == 0, done.stdout
    assert final(tmp_path / "run") == fingerprint(undisturbed)
    assert len(server.downloads) == len(set(server.downloads))  # workers and threads shared each download
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or _SECRET.encode() not in path.read_bytes(), path
    assert _SECRET not in done.stdout


@pytest.mark.parametrize("root", ["s3://user:password@bucket/x", "s3://bucket/x?token=password", "pipe:cat password"])
def test_an_address_with_a_secret_is_refused_and_not_repeated(root: str, tmp_path: Path) -> None:
    refused = run(*remote(f"'{root}'", tmp_path / "run"))
    assert refused.returncode == 2, refused.stdout
    assert "data.root" in refused.stdout
    assert "password" not in refused.stdout.replace("a user, a password or a query", "")
    assert not (tmp_path / "run").exists()


def lose_the_store(server: Store, process: Running, folder: Path) -> int:
    """Take the store away from a run that trains; returns the step that it saved before it stopped."""
    until_trained(folder, process, 3)
    server.failing = GONE
    for path in Path(f"{folder}-cache").glob("*.tar"):
        path.unlink()  # what is here already would do for the rest of so small a data set
    output, _ = process.communicate(timeout=180)
    assert process.returncode == _TRY_LATER, output
    assert "could not be read for 3 s" in output
    assert "the same command continues" in output
    assert "Traceback" not in output.partition("error: ")[2]
    end = outcome.read(folder)
    assert end is not None
    assert (end.state, "could not be read for 3 s" in end.reason.splitlines()[0]) == ("failed", True)
    saved = (folder / "checkpoints" / "latest").resolve()
    assert all((saved / name).exists() for name in STATE), output
    return int(saved.name.removeprefix("step-"))


def until_trained(folder: Path, process: Running, steps: int) -> None:
    """Wait until so many steps are in the metrics; fails if the process ends first."""
    until_path(folder / "metrics.jsonl", process)
    while (folder / "metrics.jsonl").read_text().count("loss/train") < steps:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)


_LONG = (
    "train.steps=100000", "checkpoint.every=100000", "validation.every=100000", "logger.every=1", "data.workers=1",
    "data.prefetch=1", "data.store.patience_minutes=0.05",
)  # fmt: skip


@pytest.mark.faults
def test_a_store_that_goes_away_stops_with_a_checkpoint_and_the_same_command_goes_on(
    store: tuple[Store, str], shards: Path, tmp_path: Path
) -> None:
    server, root = store
    words = remote(root, tmp_path / "run", *_LONG)
    saved = lose_the_store(server, start(*words), tmp_path / "run")
    server.failing = 0
    again = start(*words)
    until_trained(tmp_path / "run", again, saved + 3)
    assert stop(again, signal.SIGTERM) == 128 + signal.SIGTERM
    last = (tmp_path / "run" / "checkpoints" / "latest").resolve()
    steps = int(last.name.removeprefix("step-"))
    assert steps > saved
    done = run(*training_command(shards, tmp_path / "whole", *_LONG, f"train.steps={steps}"))
    assert done.returncode == 0, done.stdout
    assert fingerprint(last) == fingerprint(tmp_path / "whole" / "checkpoints" / last.name)


@pytest.mark.faults
def test_two_ranks_stop_together_and_save_when_they_lose_the_store(store: tuple[Store, str], tmp_path: Path) -> None:
    server, root = store
    words = remote(root, tmp_path / "run", *_LONG, "launch.processes=2")
    lose_the_store(server, start(*words), tmp_path / "run")


_KILL_IN_A_FETCH = """
import os, signal
import ipai.store.cache as c
c.Blob.check = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.faults
def test_kill_9_in_a_fetch_and_a_stuttering_store_change_nothing(
    store: tuple[Store, str], undisturbed: Path, tmp_path: Path
) -> None:
    server, root = store
    words = remote(root, tmp_path / "run")
    killed = run("-c", KILL_AT.format(setup=_KILL_IN_A_FETCH, argv=words))
    assert killed.returncode == -signal.SIGKILL, killed.stdout
    assert list(Path(f"{tmp_path}/run-cache").glob(".*.part"))
    server.failing, server.damaged = 3, 1
    done = run(*words)
    assert done.returncode == 0, done.stdout
    assert "asking again" in done.stdout
    assert final(tmp_path / "run") == fingerprint(undisturbed)
    assert not list(Path(f"{tmp_path}/run-cache").glob(".*.part"))


@pytest.mark.faults
def test_a_cache_for_one_shard_suffices_and_is_kept_to(
    store: tuple[Store, str], shards: Path, undisturbed: Path, tmp_path: Path
) -> None:
    _, root = store
    largest = max(path.stat().st_size for path in shards.glob("*/*.tar"))
    done = run(*remote(root, tmp_path / "run", f"data.store.cache_gb={1.01 * largest / 1e9}"))
    assert done.returncode == 0, done.stdout
    assert final(tmp_path / "run") == fingerprint(undisturbed)
    assert sum(path.stat().st_size for path in Path(f"{tmp_path}/run-cache").glob("*.tar")) <= 1.01 * largest
    assert train(shards, tmp_path / "run")  # and from the folder it is the same run


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB, where we may mount one."""
    folder = tmp_path / "run-cache"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=False)
    if mounted.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.faults
def test_a_full_disk_in_a_fetch_stops_with_the_reason_and_goes_on_when_there_is_room(
    store: tuple[Store, str], small_disk: Path, undisturbed: Path, tmp_path: Path
) -> None:
    _, root = store
    words = remote(root, tmp_path / "run")
    full = run(*words)
    assert full.returncode == _TRY_LATER, full.stdout
    assert "could not be kept in" in full.stdout
    assert "free space there" in full.stdout
    assert not list(small_disk.glob(".*.part"))
    subprocess.run(["mount", "-o", "remount,size=16m", small_disk], check=True)
    done = run(*words)
    assert done.returncode == 0, done.stdout
    assert final(tmp_path / "run") == fingerprint(undisturbed)
