"""Shards in a store are the samples of the folder they were copied from, and come before they are asked for."""

import json
import pickle
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("s3fs")
pytest.importorskip("moto")

from ipai.data.loader import SlotBatches
from ipai.data.order import SampleOrder
from ipai.data.prefetch import FetchAhead
from ipai.data.remote_shards import RemoteShardSet, open_shards
from ipai.data.shard_shuffle import ShardWindows
from ipai.data.shards import ShardSet
from ipai.errors import DataError
from ipai.store.config import StoreConfig
from tests.helpers.s3 import Store, serving, write_sidecars
from tests.helpers.shard_writer import write_shards

_SHARDS = 6


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with serving() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_shards(tmp_path / "shards", "style", 24, shards=_SHARDS)
    write_sidecars(tmp_path / "shards")
    return tmp_path / "shards"


def remote_shards(root: str, tmp_path: Path, gigabytes: float = 1.0) -> RemoteShardSet:
    found = open_shards(root, "style", "train", StoreConfig(str(tmp_path / "cache"), gigabytes, 0.05))
    assert isinstance(found, RemoteShardSet)
    return found


def cached(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "cache").glob("*.tar"))


def test_samples_are_those_of_the_folder_in_their_order(store: Store, folder: Path, tmp_path: Path) -> None:
    local = ShardSet.open(folder, "style", "train")
    remote = pickle.loads(pickle.dumps(remote_shards(store.put(folder, tmp_path.name), tmp_path)))
    assert (len(remote), remote.counts) == (len(local), local.counts)
    assert not cached(tmp_path)
    assert [remote.read(index) for index in range(len(local))] == [local.read(index) for index in range(len(local))]
    assert [remote.record(index) for index in range(4)] == [local.record(index) for index in range(4)]
    assert len(cached(tmp_path)) == _SHARDS


def test_a_mounted_store_is_read_through_the_cache_too(folder: Path, tmp_path: Path) -> None:
    remote = remote_shards(f"file://{folder}", tmp_path)
    assert remote.read(5) == ShardSet.open(folder, "style", "train").read(5)
    assert len(cached(tmp_path)) == 1


def test_a_second_start_reads_no_sidecar_and_no_shard_again(store: Store, folder: Path, tmp_path: Path) -> None:
    root = store.put(folder, tmp_path.name)
    remote_shards(root, tmp_path).read(0)
    sent = len(store.downloads)
    remote_shards(root, tmp_path).read(0)
    assert len(store.downloads) == sent
    assert len(list((tmp_path / "cache" / "lists").iterdir())) == 1


def test_shards_that_are_exchanged_are_fetched_anew(store: Store, folder: Path, tmp_path: Path) -> None:
    remote_shards(store.put(folder, tmp_path.name), tmp_path).read(0)
    write_shards(folder, "style", 30, shards=_SHARDS)
    write_sidecars(folder)
    local = ShardSet.open(folder, "style", "train")
    remote = remote_shards(store.put(folder, tmp_path.name), tmp_path)
    assert [remote.read(index) for index in range(30)] == [local.read(index) for index in range(30)]


def test_a_shard_without_a_sidecar_is_refused(store: Store, folder: Path, tmp_path: Path) -> None:
    (folder / "style" / "train-000003.json").unlink()
    with pytest.raises(DataError, match=r"train-000003\.tar has no sidecar"):
        remote_shards(store.put(folder, tmp_path.name), tmp_path)


def test_an_empty_folder_is_refused(store: Store, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there are no shards"):
        remote_shards(store.put(folder, tmp_path.name) + "/nothing", tmp_path)


def test_a_sidecar_of_other_samples_is_found_out(store: Store, folder: Path, tmp_path: Path) -> None:
    path = folder / "style" / "train-000000.json"
    path.write_text(path.read_text().replace("style-0000", "style-9999"))
    with pytest.raises(DataError, match="other samples than its sidecar says"):
        remote_shards(store.put(folder, tmp_path.name), tmp_path).read(0)


def test_what_comes_next_is_fetched_ahead_within_half_the_cache(store: Store, folder: Path, tmp_path: Path) -> None:
    size = max(path.stat().st_size for path in folder.glob("*/*.tar"))
    shards = remote_shards(store.put(folder, tmp_path.name), tmp_path, gigabytes=4.5 * size / 1e9)
    windows = {"style": ShardWindows(shards.counts, 1, 0, "style")}
    order = SampleOrder(0, 4, {"style": 24}, {"style": 1.0}, windows)
    ahead = FetchAhead({"style": shards}, order, SlotBatches(0, 12, 4, 4, 0, 1))
    try:
        for step in range(12):
            if step % 6 < 5:  # the last of an epoch may not have been asked for yet when the next one is known
                blob = shards.blob_of(order.at(step, 0).index)
                until(lambda blob=blob: (tmp_path / "cache" / f"{blob.sha256}.tar").exists())
            assert len(cached(tmp_path)) <= 4
            shards.read(order.at(step, 0).index)
            ahead.trained(step)
    finally:
        ahead.close()


def test_a_cache_that_holds_all_is_filled(store: Store, folder: Path, tmp_path: Path) -> None:
    shards = remote_shards(store.put(folder, tmp_path.name), tmp_path)
    order = SampleOrder(0, 4, {"style": 24}, {"style": 1.0})
    ahead = FetchAhead({"style": shards}, order, SlotBatches(0, 10**6, 4, 4, 0, 1))
    until(lambda: len(cached(tmp_path)) == _SHARDS)
    ahead.close()


def until(condition: object) -> None:
    assert callable(condition)
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("name", ["/etc/hostname", "../../precious", "x", "A" * 64, "0" * 63, ""])
def test_a_hash_that_is_no_hash_opens_no_file(store: Store, folder: Path, tmp_path: Path, name: str) -> None:
    precious = tmp_path / "precious"
    precious.write_text("kept")
    named = str(precious) if name == "/etc/hostname" else name
    path = folder / "style" / "train-000000.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sha256": named}))
    with pytest.raises(DataError, match=r"train-000000\.json is damaged \(sha256 is no SHA-256"):
        remote_shards(store.put(folder, tmp_path.name), tmp_path).read(0)
    assert precious.read_text() == "kept"


@pytest.mark.parametrize("key", ["../style", "Style 1", "", "a/b", None])
def test_a_sidecars_key_must_be_one(store: Store, folder: Path, tmp_path: Path, key: str | None) -> None:
    path = folder / "style" / "train-000000.json"
    sidecar = json.loads(path.read_text())
    sidecar["samples"][0]["key"] = key
    path.write_text(json.dumps(sidecar))
    with pytest.raises(DataError, match="key is not of a-z"):
        remote_shards(store.put(folder, tmp_path.name), tmp_path)
