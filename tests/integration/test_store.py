"""Training from an S3 server on loopback: the bytes of training from a folder, whatever the server does."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("s3fs")
pytest.importorskip("moto")

from ipai.training import outcome
from tests.integration.conftest import STATE, fingerprint, run, start, train, training_command
from tests.integration.faults import until_path
from tests.store.s3 import _SECRET, Store, serving

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


@pytest.mark.slow
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


@pytest.mark.faults
def test_a_store_that_goes_away_stops_with_a_checkpoint_and_the_same_command_goes_on(
    store: tuple[Store, str], shards: Path, undisturbed: Path, tmp_path: Path
) -> None:
    server, root = store
    folder = tmp_path / "run"
    words = remote(root, folder, "data.store.patience_minutes=0.05", "checkpoint.every=1000", "data.workers=1")
    process = start(*words, "data.prefetch=1", "train.steps=24")
    until_path(folder / "metrics.jsonl", process)
    server.failing = GONE
    shutil.rmtree(f"{folder}-cache")  # what is here already would do for the rest of this short run
    output, _ = process.communicate(timeout=180)
    assert process.returncode == _TRY_LATER, output
    assert "the same command continues" in output
    assert "Traceback" not in output.partition("error: ")[2]
    assert all((folder / "checkpoints" / "latest" / name).exists() for name in STATE)
    end = outcome.read(folder)
    assert end is not None
    assert (end.state, "could not be read for 3 s" in end.reason) == ("failed", True)
    server.failing = 0
    done = run(*words, "data.prefetch=1")
    assert done.returncode == 0, done.stdout
    assert final(folder) == fingerprint(undisturbed)


@pytest.mark.faults
def test_two_ranks_stop_together_and_save_when_one_loses_the_store(
    store: tuple[Store, str], shards: Path, undisturbed: Path, tmp_path: Path
) -> None:
    server, root = store
    folder = tmp_path / "run"
    words = remote(root, folder, "launch.processes=2", "data.store.patience_minutes=0.05", "checkpoint.every=1000")
    process = start(*words, "data.workers=1", "data.prefetch=1", "train.steps=24")
    until_path(folder / "metrics.jsonl", process)
    server.failing = GONE
    shutil.rmtree(f"{folder}-cache")
    output, _ = process.communicate(timeout=180)
    assert process.returncode == _TRY_LATER, output
    assert all((folder / "checkpoints" / "latest" / name).exists() for name in STATE), output
    server.failing = 0
    done = run(*words)
    assert done.returncode == 0, done.stdout


@pytest.mark.faults
def test_a_stuttering_store_and_a_kill_9_in_a_fetch_change_nothing(
    store: tuple[Store, str], undisturbed: Path, tmp_path: Path
) -> None:
    server, root = store
    folder = tmp_path / "run"
    process = start(*remote(root, folder))
    server.failing = GONE  # the first start waits for the list of shards, or in the middle of its first fetch
    until_path(folder / "config.yaml", process)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    server.failing, server.damaged = 3, 1
    try:
        done = run(*remote(root, folder))
    except subprocess.TimeoutExpired as error:
        raise AssertionError(error.output) from error
    assert done.returncode == 0, done.stdout
    assert "asking again" in done.stdout
    assert final(folder) == fingerprint(undisturbed)
    assert not list(Path(f"{folder}-cache").glob(".*.part"))


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
