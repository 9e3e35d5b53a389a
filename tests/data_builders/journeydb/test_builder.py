"""The JourneyDB builder on sources in the form of the download."""

import gzip
import json
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_builders.engine.plan import Plan, drawn
from data_builders.engine.report import Tally
from data_builders.engine.run import plan_build
from data_builders.journeydb.archives import streamed
from data_builders.registry import create_builder
from ipai.errors import ConfigError, DataError
from tests.helpers import building
from tests.helpers.building import build_all, command, digests, samples_in
from tests.helpers.coco_source import jpeg, textured
from tests.helpers.journey_source import JourneyWriter, write_journey_source, write_tgz
from tests.helpers.killing import killed_and_continued

ANNOTATIONS = "data/train/train_anno_realease_repath.jsonl.tgz"


@pytest.fixture(scope="session")
def journey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three archives of six pictures, nine prompts of two pictures each; do not change it."""
    return write_journey_source(tmp_path_factory.mktemp("journey"))


def configure(source: Path, output: Path, *overrides: str) -> Any:
    return building.configure(source, output, "task=copy", "source.split=train", *overrides)


def build(source: Path, output: Path, *overrides: str) -> tuple[Plan, Tally]:
    return build_all(configure(source, output, *overrides))


def plan(source: Path, *overrides: str) -> Plan:
    config = configure(source, Path("unused"), "dry_run=true", *overrides)
    return plan_build(create_builder(config), config)


def test_every_reason_is_counted_once_and_in_order(tmp_path: Path) -> None:
    writer = JourneyWriter(tmp_path)
    first = writer.picture(0, "a fox --ar 3:2")
    for bad in (b"{", b"[1]", b'{"img_path": "./000/a.jpg"' + b" " * (1 << 20) + b"}"):
        writer.line(bad)
    for path in (None, 7, "./000/", "000", "/000/a.jpg", "./../000/a.jpg", "./000/b/a.jpg", "./000/a\n.jpg"):
        writer.line({"img_path": path, "prompt": "a fox"})
    writer.line({"img_path": "./000/x.jpg"})
    writer.line({"img_path": "./000/y.jpg", "prompt": ["a fox"]})
    writer.line({"img_path": "./199/z.jpg", "prompt": "a fox"})
    writer.line({"img_path": f"000/{first}", "prompt": "another"})
    writer.picture(0, "--v 5")
    writer.line(b"  ")
    selection = plan(writer.save()).selection
    assert selection.drops == {
        "not_json": 3,
        "img_path": 8,
        "no_prompt": 2,
        "archive_missing": 1,
        "duplicate": 1,
        "empty_prompt": 1,
    }
    assert selection.considered == len(selection.records) + sum(selection.drops.values()) == 17


def test_a_sample_holds_what_the_contract_says(tmp_path: Path) -> None:
    writer = JourneyWriter(tmp_path / "source")
    name = writer.picture(7, "<https://s.mj.run/x> A fox, snow, --ar 3:2", jpeg(textured(96, 64, 1)))
    build(writer.save(), tmp_path / "out")
    ((key, sample),) = samples_in(tmp_path / "out" / "copy").items()
    assert key == f"train-007-{name.removesuffix('.jpg')}"
    assert set(sample) == {"json", "target.jpg"}
    assert sample["target.jpg"].size == (64, 64)
    facts = sample["json"]
    assert facts["prompt"] == facts["cond_prompt"] == "A fox, snow"
    assert facts["generation"] == {"model": "Midjourney", "prompt": "<https://s.mj.run/x> A fox, snow, --ar 3:2"}
    assert (facts["task"], facts["slot"], facts["source"]["id"]) == ("copy", None, f"train/007/{name}")
    assert "no redistribution" in facts["source"]["licence"]["name"]
    assert "JourneyDB" in facts["source"]["attribution"]
    assert facts["scores"] == {"side": 64.0, "visible": round(64 / 96, 6)}
    card = (tmp_path / "out" / "copy" / "card.md").read_text()
    assert "neither the data nor anything derived from\nit may be passed on" in card


def test_names_that_a_key_cannot_hold_get_one(tmp_path: Path) -> None:
    writer = JourneyWriter(tmp_path / "source")
    names = ["Ein Fuchs.jpg", "ein fuchs.jpg", "x" * 200 + ".jpg", "лиса.png"]
    for number, name in enumerate(names):
        writer.line({"img_path": f"./000/{name}", "prompt": f"fox {number}"})
        writer.members["000"].append((f"000/{name}", jpeg(textured(80, 80, number))))
    build(writer.save(), tmp_path / "out")
    assert {sample["json"]["prompt"] for sample in samples_in(tmp_path / "out" / "copy").values()} == {
        "fox 0",
        "fox 1",
        "fox 2",
        "fox 3",
    }


def test_what_only_reading_shows_is_dropped_and_counted(tmp_path: Path) -> None:
    writer = JourneyWriter(tmp_path / "source")
    good = jpeg(textured(90, 70, 1))
    for content in (None, b"", good[: len(good) // 2], b"text", jpeg(textured(400, 300, 1))):
        writer.picture(0, content=content)
    gray = writer.picture(0, content=jpeg(textured(90, 70, 2).convert("L")))
    _, tally = build(writer.save(), tmp_path / "out", "source.max_pixels=10000")
    assert dict(tally.drops) == {"not_in_archive": 1, "truncated": 1, "not_an_image": 1, "too_many_pixels": 1}
    assert any(gray.removesuffix(".jpg") in key for key in samples_in(tmp_path / "out" / "copy"))


def test_members_that_are_no_files_are_not_read(tmp_path: Path) -> None:
    writer = JourneyWriter(tmp_path / "source")
    name = writer.picture(0)
    source = writer.save()
    with tarfile.open(writer.folder / "imgs" / "000.tgz", "w:gz") as archive:
        link = tarfile.TarInfo(f"000/{name}")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
    _, tally = build(source, tmp_path / "out")
    assert dict(tally.drops) == {"not_in_archive": 1}


@pytest.mark.parametrize("place", [".", "data", "data/train"])
def test_the_root_may_be_the_download_or_a_folder_in_it(journey: Path, place: str) -> None:
    assert plan(journey / place).hash == plan(journey).hash


def test_the_validation_split_of_journeydb_builds_too(tmp_path: Path) -> None:
    writer = JourneyWriter(tmp_path / "source", split="valid")
    writer.picture(0)
    build(writer.save(), tmp_path / "out", "source.split=valid")
    (sample,) = samples_in(tmp_path / "out" / "copy").values()
    assert sample["json"]["source"]["id"].startswith("valid/000/")


def test_all_pictures_of_a_prompt_are_in_one_split(tmp_path: Path, journey: Path) -> None:
    build(journey, tmp_path, "val.fraction=0.4")
    prompts = {
        split: {sample["json"]["prompt"] for sample in samples_in(tmp_path / "copy", f"{split}-*.tar").values()}
        for split in ("train", "val")
    }
    assert len(prompts["train"]) + len(prompts["val"]) == 9
    assert prompts["train"]
    assert prompts["val"]
    assert not prompts["train"] & prompts["val"]


def test_shards_are_the_same_bytes_for_any_worker_count_and_after_a_loss(tmp_path: Path, journey: Path) -> None:
    for workers in (1, 2):
        build(journey, tmp_path / str(workers), f"executor.workers={workers}", "source.archives_per_shard=2")
    one = digests(tmp_path / "1" / "copy")
    assert one == digests(tmp_path / "2" / "copy")
    assert len(samples_in(tmp_path / "1" / "copy")) == 18
    (tmp_path / "1" / "copy" / "train-000001.json").unlink()
    build(journey, tmp_path / "1", "executor.workers=1", "source.archives_per_shard=2")
    assert digests(tmp_path / "1" / "copy") == one


def test_an_archive_is_opened_once_for_each_shard_that_needs_it(
    tmp_path: Path, journey: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def counting(path: Path) -> Any:
        opened.append(path.name)
        return streamed(path)

    monkeypatch.setattr("data_builders.journeydb.archives.streamed", counting)
    made, _ = build(journey, tmp_path, "shard_size=6", "val.max=1")
    needed = [{record.fields["archive"] for record in shard.records} for shard in made.shards]
    assert len(opened) == sum(map(len, needed))
    assert sum(len(archives) for archives in needed[:-1]) == 3, "train reads every archive once"


def test_the_limit_draws_what_a_draw_over_all_would_and_keeps_no_more(journey: Path) -> None:
    whole, part = plan(journey, "limit=null"), plan(journey, "limit=5")
    assert len(part.selection.records) == 5
    assert (part.selection.not_drawn, part.beyond_limit) == (13, 13)
    limited = configure(journey, Path("unused"), "limit=5")
    first = [record.key for record in drawn(whole.selection.records, limited)]
    assert [record.key for record in part.selection.records] == first


def test_a_missing_archive_narrows_the_draw(tmp_path: Path) -> None:
    source = write_journey_source(tmp_path / "source")
    (source / "data/train/imgs/001.tgz").unlink()
    selection = plan(source).selection
    assert (selection.drops["archive_missing"], len(selection.records)) == (6, 12)
    assert selection.facts == {"archives": 2}


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-60])


def flip(path: Path) -> None:
    """Damage the compressed data in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def no_tar(path: Path) -> None:
    path.write_bytes(gzip.compress(b"not a tar at all" * 100))


def lfs_pointer(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n")


DAMAGED: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "annotations cut short": (ANNOTATIONS, cut_short, "jsonl.tgz .* is cut short or damaged.*Download it anew"),
    "annotations damaged": (ANNOTATIONS, flip, "cut short or damaged"),
    "annotations are no tar": (ANNOTATIONS, no_tar, "cut short or damaged"),
    "annotations empty": (ANNOTATIONS, lambda path: path.write_bytes(b""), "cut short or damaged"),
    "annotations without a jsonl": (ANNOTATIONS, lambda path: write_tgz(path, [("a.txt", b"x")]), "holds no .jsonl"),
    "annotations with an empty jsonl": (
        ANNOTATIONS,
        lambda path: write_tgz(path, [("a.jsonl", b"\n")]),
        "nothing is left to build of 0",
    ),
    "annotations missing": (ANNOTATIONS, Path.unlink, r"there is no train_anno_realease_repath.*hf download"),
    "only the other annotations": (
        ANNOTATIONS,
        lambda path: path.rename(path.with_name("train_anno.jsonl.tgz")),
        r"train_anno.jsonl.tgz is there, but its paths do not match.*train_anno_realease_repath",
    ),
    "archive cut short": ("data/train/imgs/000.tgz", cut_short, "000.tgz .* is cut short or damaged"),
    "archive damaged": ("data/train/imgs/000.tgz", flip, "000.tgz .* is cut short or damaged"),
    "archive is no tar": ("data/train/imgs/000.tgz", no_tar, "000.tgz .* is cut short or damaged"),
    "archive empty": ("data/train/imgs/000.tgz", lambda path: path.write_bytes(b""), "000.tgz is not a gzip file"),
    "archive is a page": (
        "data/train/imgs/000.tgz",
        lambda path: path.write_text("<html>"),
        "is a web page, not the file",
    ),
    "archive is a pointer": ("data/train/imgs/000.tgz", lfs_pointer, "git lfs pull"),
    "archive is a folder": ("data/train/imgs/000.tgz", lambda p: (p.unlink(), p.mkdir()), "cannot read .*000.tgz"),
}


@pytest.mark.parametrize(("place", "damage", "message"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_sources_are_refused_by_name(
    tmp_path: Path, place: str, damage: Callable[[Path], Any], message: str
) -> None:
    source = write_journey_source(tmp_path / "source")
    damage(source / place)
    with pytest.raises(DataError, match=f"(?s){message}"):
        build(source, tmp_path / "out")


def test_an_archive_cut_between_two_members_is_no_clean_end(tmp_path: Path) -> None:
    """The first of two gzip members ends where a tar member does, so only the archive's end tells the loss."""
    writer = JourneyWriter(tmp_path / "source")
    for _ in range(4):
        writer.picture(0)
    source = writer.save()
    path = writer.folder / "imgs" / "000.tgz"
    plain = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(plain[:1024]) + gzip.compress(plain[1024:])[:-30])
    with pytest.raises(DataError, match="cut short"):
        build(source, tmp_path / "out")


def test_no_archive_at_all_is_refused_with_the_steps(tmp_path: Path) -> None:
    source = write_journey_source(tmp_path / "source")
    for path in (source / "data/train/imgs").glob("*.tgz"):
        path.unlink()
    with pytest.raises(DataError, match=r"(?s)there is no archive.*hf download.*non-commercial"):
        build(source, tmp_path / "out")


def test_a_mended_archive_continues_the_build(tmp_path: Path, journey: Path) -> None:
    source = write_journey_source(tmp_path / "source")
    path = source / "data/train/imgs/001.tgz"
    whole = path.read_bytes()
    cut_short(path)
    with pytest.raises(DataError, match="cut short"):
        build(source, tmp_path / "out", "shard_size=6")
    path.write_bytes(whole)
    build(source, tmp_path / "out", "shard_size=6")
    build(journey, tmp_path / "whole", "shard_size=6")
    assert digests(tmp_path / "out" / "copy") == digests(tmp_path / "whole" / "copy")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["source.split=test"], "source.split=test is none of train, valid"),
        (["captioner=template"], "captioner=template: .* set captioner=dataset"),
        (["source.archives_per_shard=0"], "source.archives_per_shard=0 must be above 0"),
        (["source.max_pixels=0"], "source.max_pixels=0 must be above 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        configure(tmp_path, tmp_path, *overrides)


def test_the_manifest_tells_the_groups_and_no_prompt(tmp_path: Path, journey: Path) -> None:
    build(journey, tmp_path)
    text = (tmp_path / "copy" / "manifest.jsonl").read_text()
    groups = Counter(json.loads(line)["group"] for line in text.splitlines())
    assert sorted(groups.values()) == [2] * 9
    assert "fox" not in text


def test_a_killed_command_continues_to_the_same_bytes(tmp_path: Path) -> None:
    source = write_journey_source(tmp_path / "source", archives=8, pictures=8)
    settings = ("task=copy", "source.split=train", "source.archives_per_shard=1", "image_size=512")
    build(source, tmp_path / "whole", *settings)
    done, files = killed_and_continued(command(source, tmp_path / "out", *settings), tmp_path / "out" / "copy")
    assert 0 < done < len(list((tmp_path / "whole" / "copy").glob("*.tar")))
    assert files == digests(tmp_path / "whole" / "copy")


def test_an_unpacked_download_gives_the_same_samples(tmp_path: Path) -> None:
    source = write_journey_source(tmp_path / "packed")
    unpacked = Path(shutil.copytree(source, tmp_path / "unpacked"))
    for archive in [*unpacked.rglob("imgs/*.tgz"), *unpacked.rglob("*.jsonl.tgz")]:
        with tarfile.open(archive) as content:
            content.extractall(archive.parent, filter="data")
        archive.unlink()
    assert not list(unpacked.rglob("*.tgz"))
    for root in (source, unpacked):
        build(root, tmp_path / f"{root.name}-out")
    packed, plain = (digests(tmp_path / f"{name}-out" / "copy") for name in ("packed", "unpacked"))
    assert {name: digest for name, digest in packed.items() if name.endswith(".tar")} == {
        name: digest for name, digest in plain.items() if name.endswith(".tar")
    }


def test_the_prompt_may_be_kept_as_it_was_written(tmp_path: Path) -> None:
    source = write_journey_source(tmp_path / "source", archives=1, pictures=2)
    build(source, tmp_path / "out", "source.prompt=raw")
    prompts = {sample["json"]["prompt"] for sample in samples_in(tmp_path / "out" / "copy").values()}
    assert prompts == {f"Scene {number}, a fox in the snow --ar 3:2 --v 5" for number in range(2)}
