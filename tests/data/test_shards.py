import io
import json
import os
import pickle
import tarfile
from pathlib import Path

import pytest
import webdataset

from ipai.data.shards import ShardSet
from ipai.errors import DataError
from tests.helpers.shard_writer import sample, write_shard, write_shards


def test_every_sample_is_read_as_webdataset_reads_it(tmp_path: Path) -> None:
    write_shards(tmp_path, "object", 7, shards=3)
    shards = ShardSet.open(tmp_path, "object", "train")
    urls = [str(path) for path in sorted((tmp_path / "object").glob("*.tar"))]
    expected = {item["__key__"]: item for item in webdataset.WebDataset(urls, shardshuffle=False)}
    assert len(shards) == len(expected) == 7
    for index in range(7):
        raw = shards.read(index)
        item = expected[raw.key]
        assert (raw.target, raw.condition) == (item["target.png"], item["cond.png"])
        assert raw.record == json.loads(item["json"])


def test_copy_holds_its_image_once(tmp_path: Path) -> None:
    write_shards(tmp_path, "copy", 2)
    raw = ShardSet.open(tmp_path, "copy", "train").read(0)
    assert raw.condition == raw.target


def test_an_index_travels_to_another_process(tmp_path: Path) -> None:
    write_shards(tmp_path, "style", 3)
    shards = ShardSet.open(tmp_path, "style", "train")
    before = shards.read(2)
    assert pickle.loads(pickle.dumps(shards)).read(2) == before


def test_splits_are_told_apart(tmp_path: Path) -> None:
    write_shards(tmp_path, "style", 3, split="train")
    write_shards(tmp_path, "style", 2, split="val")
    assert len(ShardSet.open(tmp_path, "style", "val")) == 2


@pytest.mark.parametrize("root", ["pipe:cat shards", "s3://bucket/shards", "http://host/shards"])
def test_urls_are_refused(root: str) -> None:
    with pytest.raises(DataError, match="is a URL"):
        ShardSet.open(Path(root), "style", "train")


def test_missing_shards_say_how_to_build_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"build_datasets\.py task=style"):
        ShardSet.open(tmp_path, "style", "train")


def test_what_a_builder_is_still_writing_is_not_read(tmp_path: Path) -> None:
    write_shards(tmp_path, "style", 2, shards=1)
    (tmp_path / "style" / ".train-000001.tar.x.tmp").write_bytes(b"half")
    assert len(ShardSet.open(tmp_path, "style", "train")) == 2


@pytest.mark.parametrize("cut", [100, 600, 5000])
def test_a_cut_off_shard_is_named(tmp_path: Path, cut: int) -> None:
    write_shards(tmp_path, "style", 4, shards=1)
    path = tmp_path / "style" / "train-000000.tar"
    os.truncate(path, path.stat().st_size - 10_240 - 1024 + 100 - cut)
    with pytest.raises(DataError, match=r"train-000000\.tar"):
        ShardSet.open(tmp_path, "style", "train")


def test_no_tar_at_all_is_named(tmp_path: Path) -> None:
    (tmp_path / "style").mkdir()
    (tmp_path / "style" / "train-000000.tar").write_bytes(b"nothing like a tar" * 100)
    with pytest.raises(DataError, match="damaged"):
        ShardSet.open(tmp_path, "style", "train")


def test_a_shard_that_differs_from_its_sidecar_is_refused(tmp_path: Path) -> None:
    write_shards(tmp_path, "style", 2, shards=1)
    sidecar = tmp_path / "style" / "train-000000.json"
    size = sidecar.with_suffix(".tar").stat().st_size
    sidecar.write_text(json.dumps({"bytes": size, "count": 2}))
    assert len(ShardSet.open(tmp_path, "style", "train")) == 2
    sidecar.write_text(json.dumps({"bytes": size + 512}))
    with pytest.raises(DataError, match="its sidecar says"):
        ShardSet.open(tmp_path, "style", "train")
    sidecar.write_text("{")
    with pytest.raises(DataError, match="damaged"):
        ShardSet.open(tmp_path, "style", "train")


@pytest.mark.parametrize("missing", ["json", "target.png", "cond.png"])
def test_an_incomplete_sample_is_named(tmp_path: Path, missing: str) -> None:
    broken = sample("style", 0)
    del broken[missing]
    write_shard(tmp_path / "style" / "train-000000.tar", [broken])
    with pytest.raises(DataError, match=rf"style-0000 has no {missing.split('.')[0]}"):
        ShardSet.open(tmp_path, "style", "train")


def test_foreign_members_and_duplicates_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "style" / "train-000000.tar"
    write_shard(path, [sample("style", 0) | {"txt": b"caption"}])
    with pytest.raises(DataError, match=r"holds 'style-0000\.txt'"):
        ShardSet.open(tmp_path, "style", "train")
    write_shard(path, [sample("style", 0)])
    write_shard(path.with_name("train-000001.tar"), [sample("style", 0)])
    with pytest.raises(DataError, match="more than once"):
        ShardSet.open(tmp_path, "style", "train")


def test_one_member_twice_in_a_sample_is_refused(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "copy" / "train-000000.tar", [sample("copy", 0)])
    with tarfile.open(path, "a") as tar:
        info = tarfile.TarInfo("copy-0000.json")
        info.size = 2
        tar.addfile(info, io.BytesIO(b"{}"))
    with pytest.raises(DataError, match="holds json twice"):
        ShardSet.open(tmp_path, "copy", "train")


def test_a_shard_that_shrinks_during_the_run_is_an_error_not_a_short_read(tmp_path: Path) -> None:
    write_shards(tmp_path, "style", 2, shards=1)
    shards = ShardSet.open(tmp_path, "style", "train")
    os.truncate(tmp_path / "style" / "train-000000.tar", 600)
    with pytest.raises(DataError, match="became shorter"):
        shards.read(1)
