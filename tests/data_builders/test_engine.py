"""What the engine promises of any builder: same bytes however it runs, finished shards kept, other settings refused."""

import json
import os
import tarfile
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from data_builders.coco.builder import CocoBuilder
from data_builders.engine.config import BuildConfig, parse
from data_builders.engine.executors import run_jobs
from data_builders.engine.executors.config import ExecutorConfig
from data_builders.engine.folder import locked
from data_builders.engine.run import build, plan_build
from data_builders.registry import schema_of
from ipai.errors import ConfigError, DataError
from ipai.files import sha256_of
from tests.helpers.building import ROOT, build_all, configure, digests, samples_in
from tests.helpers.coco_source import CocoWriter, write_coco_source

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def test_shards_are_the_same_bytes_for_any_worker_count(tmp_path: Path, coco: Path) -> None:
    for workers in (1, 2, 3):
        build_all(configure(coco, tmp_path / str(workers), f"executor.workers={workers}"))
    one, two, three = (digests(tmp_path / str(workers) / "object") for workers in (1, 2, 3))
    assert one == two == three
    assert sorted(one) == [
        "build.json",
        "card.md",
        "manifest.jsonl",
        *(f"train-{n:06d}.{kind}" for n in range(3) for kind in ("json", "tar")),
        "val-000000.json",
        "val-000000.tar",
    ]


def test_members_are_sorted_and_say_nothing_of_time_or_owner(tmp_path: Path, coco: Path) -> None:
    build_all(configure(coco, tmp_path))
    with tarfile.open(tmp_path / "object" / "train-000000.tar") as tar:
        members = tar.getmembers()
    for member in members:
        assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
    extensions = [member.name.split(".", 1)[1] for member in members]
    assert extensions == ["cond.jpg", "json", "target.jpg"] * 4


def test_the_sidecar_and_the_manifest_tell_the_truth(tmp_path: Path, coco: Path) -> None:
    plan, _ = build_all(configure(coco, tmp_path))
    folder = tmp_path / "object"
    manifest = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    assert [line["key"] for line in manifest] == [record.key for shard in plan.shards for record in shard.records]
    for shard in plan.shards:
        sidecar = json.loads((folder / f"{shard.name}.json").read_text())
        tar = folder / f"{shard.name}.tar"
        assert (sidecar["bytes"], sidecar["sha256"]) == (tar.stat().st_size, sha256_of(tar))
        assert sidecar["count"] == sidecar["planned"] == len(samples_in(folder, tar.name))
        assert (sidecar["builder"], sidecar["builder_version"]) == ("coco", CocoBuilder.version)
        assert len(sidecar["config_hash"]) == 64


def test_finished_shards_are_not_touched_and_missing_ones_are_made(tmp_path: Path, coco: Path) -> None:
    config = configure(coco, tmp_path)
    build_all(config)
    folder = tmp_path / "object"
    before = digests(folder)
    kept, gone = folder / "train-000000.tar", folder / "train-000001.tar"
    stamp = kept.stat().st_mtime_ns
    gone.unlink()
    (folder / "val-000000.json").unlink()
    (folder / ".train-000002.tar.x.tmp").write_bytes(b"left by a killed build")
    _, tally = build_all(config)
    assert kept.stat().st_mtime_ns == stamp
    assert (tally.shards, tally.found) == (4, 2)
    assert digests(folder) == before


def test_verify_finds_a_damaged_shard_and_builds_it_anew(tmp_path: Path, coco: Path) -> None:
    build_all(configure(coco, tmp_path))
    shard = tmp_path / "object" / "train-000000.tar"
    good = shard.read_bytes()
    shard.write_bytes(good[:700] + bytes([good[700] ^ 1]) + good[701:])
    _, tally = build_all(configure(coco, tmp_path))
    assert tally.found == 4
    _, tally = build_all(configure(coco, tmp_path, "verify=true"))
    assert tally.found == 3
    assert shard.read_bytes() == good


def test_other_settings_are_refused_with_the_keys(tmp_path: Path, coco: Path) -> None:
    build_all(configure(coco, tmp_path))
    before = digests(tmp_path / "object")
    with pytest.raises(DataError, match=r"(?s)filters\.min_side: 96.0 -> 50.0\n  jpeg_quality: 95 -> 80\n.*output="):
        build_all(configure(coco, tmp_path, "filters.min_side=50", "jpeg_quality=80"))
    assert digests(tmp_path / "object") == before


def test_another_version_of_the_builder_is_refused(tmp_path: Path, coco: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_all(configure(coco, tmp_path))
    monkeypatch.setattr(CocoBuilder, "version", CocoBuilder.version + 1)
    with pytest.raises(DataError, match=r"builder: coco \d+ -> coco \d+"):
        build_all(configure(coco, tmp_path))


def test_a_changed_source_is_refused_and_a_moved_one_is_not(tmp_path: Path) -> None:
    source = write_coco_source(tmp_path / "coco", images=6)
    build_all(configure(source, tmp_path / "out"))
    moved = source.rename(tmp_path / "moved")
    _, tally = build_all(configure(moved, tmp_path / "out", "executor.workers=2"))
    assert tally.found == tally.shards
    write_coco_source(tmp_path / "other", images=7)
    with pytest.raises(DataError, match="annotations or captions were different"):
        build_all(configure(tmp_path / "other", tmp_path / "out"))


def test_a_sidecar_of_another_build_is_refused(tmp_path: Path, coco: Path) -> None:
    build_all(configure(coco, tmp_path / "a"))
    build_all(configure(coco, tmp_path / "b", "seed=1"))
    foreign = (tmp_path / "b" / "object" / "train-000000.json").read_text()
    (tmp_path / "a" / "object" / "train-000000.json").write_text(foreign)
    with pytest.raises(DataError, match="belongs to a build with other settings"):
        build_all(configure(coco, tmp_path / "a"))


@pytest.mark.parametrize("name", ["build.json", "train-000000.json"])
def test_damaged_bookkeeping_is_refused_by_name(tmp_path: Path, coco: Path, name: str) -> None:
    build_all(configure(coco, tmp_path))
    (tmp_path / "object" / name).write_text("{")
    with pytest.raises(DataError, match=f"{name} is damaged"):
        build_all(configure(coco, tmp_path))


def test_two_builds_of_one_output_are_refused(tmp_path: Path, coco: Path) -> None:
    config = configure(coco, tmp_path)
    with locked(tmp_path / "object"), pytest.raises(DataError, match="another process is building"):
        build_all(config)
    _, tally = build_all(config)
    assert tally.written == 10


def test_an_output_that_cannot_be_made_is_refused(tmp_path: Path, coco: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot write in"):
        build_all(configure(coco, tmp_path / "file"))


@pytest.mark.parametrize("workers", [1, 2])
def test_an_incomplete_source_stops_the_build_and_is_continued(tmp_path: Path, workers: int) -> None:
    writer = CocoWriter(tmp_path / "coco")
    for number in range(24):
        writer.object(writer.photo(content=b"" if number < 20 else None), (60, 40, 120, 120))
    source = writer.save()
    settings = ("shard_size=50", f"executor.workers={workers}", "val.max=1")
    with pytest.raises(
        DataError, match=r"samples of train-000000 cannot be built \(missing_file \d+.*max_drop_fraction"
    ):
        build_all(configure(source, tmp_path / "out", *settings))
    assert not list((tmp_path / "out" / "object").glob("*train-000000*"))
    _, tally = build_all(configure(source, tmp_path / "out", *settings, "max_drop_fraction=1"))
    assert (tally.written, dict(tally.drops)) == (4, {"missing_file": 20})


def test_a_shard_that_lost_every_sample_is_an_empty_tar(tmp_path: Path) -> None:
    writer = CocoWriter(tmp_path / "coco")
    for _ in range(3):
        writer.object(writer.photo(content=b""), (60, 40, 120, 120))
    _, tally = build_all(configure(writer.save(), tmp_path / "out"))
    assert (tally.written, tally.shards) == (0, 2)
    assert samples_in(tmp_path / "out" / "object") == {}


def test_settings_may_change_until_a_shard_is_done(tmp_path: Path, coco: Path) -> None:
    build_all(configure(coco, tmp_path, "shard_size=2"))
    folder = tmp_path / "object"
    for sidecar in [*folder.glob("train-*.json"), *folder.glob("val-*.json")]:
        sidecar.unlink()
    build_all(configure(coco, tmp_path))
    build_all(configure(coco, tmp_path / "new"))
    assert digests(folder) == digests(tmp_path / "new" / "object")


def test_a_worker_that_dies_is_reported() -> None:
    with pytest.raises(DataError, match=r"a worker process died.*executor\.workers=2"):
        list(run_jobs(os._exit, [3, 3], ExecutorConfig(workers=2), needs_gpu=False))


def test_the_lock_is_let_go_when_a_build_is_abandoned(tmp_path: Path, coco: Path) -> None:
    config = configure(coco, tmp_path)
    builder = CocoBuilder(config)
    running = build(builder, config, plan_build(builder, config))
    next(running)
    running.close()
    _, tally = build_all(config)
    assert tally.found == 1


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["+filters.min_sde=3"], "did you mean filters.min_side"),
        (["filters.min_area=0.8"], "filters.min_area=0.8 must be below"),
        (["executor.workers=0"], "executor.workers=0 must be above 0"),
        (["limit=0", "jpeg_quality=0"], r"(?s)limit=0.*jpeg_quality=0"),
        (["captioner=template", "captioner.template=x"], "must hold {objects}"),
        (["source.licences=free"], "source.licences=free is none of any, permissive"),
        (["val.fraction=2"], "val.fraction=2.0 must lie between"),
        (["shard_size=many"], "shard_size"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        configure(tmp_path, tmp_path, *overrides)


def test_pictures_are_as_large_as_the_base_wants_them() -> None:
    def side(*overrides: str) -> int:
        with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf" / "build")):
            words = ["task=copy", "source.root=.", "output=.", *overrides]
            raw = compose("build_datasets", overrides=words)
        config: BuildConfig = parse(raw, schema_of(raw.task, None))
        return config.image_size

    assert [side(), *(side(f"base={base}") for base in ("sdxl", "prx"))] == [512, 1024, 512]
    assert side("base=sdxl", "image_size=768") == 768
    with pytest.raises(ConfigError, match=r"base=sdx is none of conf/base: .*sdxl"):
        side("base=sdx")
