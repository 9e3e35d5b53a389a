"""A store that fails for a while is asked again; one that fails for long, or lacks the file, is given up."""

from pathlib import Path

import pytest

from ipai.errors import StoreError
from ipai.files import sha256_of
from ipai.store.cache import Blob, ShardCache
from ipai.store.remote import RemoteStore
from tests.helpers.s3 import Store
from tests.helpers.shard_writer import write_shards


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    write_shards(tmp_path / "shards", "style", 4, shards=1)
    return tmp_path / "shards" / "style" / "train-000000.tar"


def blob_of(shard: Path) -> Blob:
    return Blob("style/train-000000.tar", shard.stat().st_size, sha256_of(shard))


def test_a_listing_and_a_download_are_those_of_the_folder(store: Store, shard: Path, tmp_path: Path) -> None:
    remote = RemoteStore(store.put(shard.parents[1], "data"), patience_s=5)
    assert list(remote.listing("style")) == ["train-000000.tar"]
    assert remote.listing("copy") == {}
    remote.download("style/train-000000.tar", tmp_path / "here", blob_of(shard).check)
    assert (tmp_path / "here").read_bytes() == shard.read_bytes()


def test_a_store_that_recovers_and_a_damaged_transfer_cost_time_only(
    store: Store, shard: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    remote = RemoteStore(store.put(shard.parents[1], "data"), patience_s=60)
    store.failing, store.damaged = 3, 1
    remote.download("style/train-000000.tar", tmp_path / "here", blob_of(shard).check)
    assert (tmp_path / "here").read_bytes() == shard.read_bytes()
    assert "asking again" in caplog.text
    assert "checksum" in caplog.text  # S3's own found it


def test_a_store_that_stays_away_is_given_up(store: Store, shard: Path, tmp_path: Path) -> None:
    remote = RemoteStore(store.put(shard.parents[1], "data"), patience_s=1)
    store.failing = 10**9
    with pytest.raises(StoreError, match=r"could not be read for 1 s .* the same command continues"):
        remote.read("style/train-000000.tar")


def test_what_is_not_there_is_not_waited_for(store: Store, shard: Path) -> None:
    remote = RemoteStore(store.put(shard.parents[1], "data"), patience_s=10**6)
    with pytest.raises(StoreError, match="is not there or may not be read"):
        remote.read("style/train-000009.tar")


def test_a_shard_that_is_not_its_sidecars_is_not_kept(store: Store, shard: Path, tmp_path: Path) -> None:
    remote = RemoteStore(store.put(shard.parents[1], "data"), patience_s=0)
    other = Blob("style/train-000000.tar", shard.stat().st_size, "0" * 64)
    with pytest.raises(StoreError, match="SHA-256"):
        ShardCache(tmp_path / "cache", 10**9).fetch(
            other, lambda blob, path: remote.download(blob.name, path, blob.check)
        )
    assert not [*(tmp_path / "cache").glob("*.tar"), *(tmp_path / "cache").glob(".*.part")]
