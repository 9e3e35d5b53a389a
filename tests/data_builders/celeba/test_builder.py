"""The CelebA builder on sources in the authors' form and in Kaggle's."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_builders.engine.plan import Plan
from data_builders.engine.report import Tally, plan_text
from data_builders.engine.run import plan_build
from data_builders.registry import create_builder
from ipai.errors import ConfigError, DataError
from tests.helpers import building
from tests.helpers.building import build_all, command, digests, samples_in
from tests.helpers.celeba_source import LANDMARKS, SIZE, CelebaWriter, write_celeba_source
from tests.helpers.coco_source import jpeg, textured
from tests.helpers.killing import killed_and_continued

WHOLE = "pairs.max_per_identity=null"


@pytest.fixture(scope="session")
def celeba(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five persons with four pictures each: 60 ordered pairs; do not change it."""
    return write_celeba_source(tmp_path_factory.mktemp("celeba"))


def configure(source: Path, output: Path, *overrides: str) -> Any:
    return building.configure(source, output, "task=face", "source.split=all", "shard_size=20", *overrides)


def build(source: Path, output: Path, *overrides: str) -> tuple[Plan, Tally]:
    return build_all(configure(source, output, *overrides))


def plan(source: Path, *overrides: str) -> Plan:
    config = configure(source, Path("unused"), "dry_run=true", *overrides)
    return plan_build(create_builder(config), config)


def pairs_of(made: Plan) -> set[tuple[str, str]]:
    return {(record.fields["condition"], record.fields["target"]) for record in made.selection.records}


def test_pairs_are_ordered_and_of_one_person(celeba: Path) -> None:
    made = plan(celeba, WHOLE)
    pairs = pairs_of(made)
    assert len(pairs) == made.selection.considered == 60
    for condition, target in pairs:
        assert condition != target
        assert (int(condition[:6]) - int(target[:6])) % 5 == 0
        assert (target, condition) in pairs
    assert made.selection.facts == {"pictures": 20, "identities": 5, "identities with one picture": 0}


def test_the_cap_is_a_draw_in_each_person(celeba: Path) -> None:
    made = plan(celeba, "pairs.max_per_identity=3")
    assert made.selection.drops == {"partition": 0, "identity_cap": 45, "caption": 0}
    assert set(Counter(record.group for record in made.selection.records).values()) == {3}
    other = plan(celeba, "pairs.max_per_identity=3", "seed=1")
    assert pairs_of(made) != pairs_of(other)


def test_what_tables_lack_or_damage_is_counted_by_reason(tmp_path: Path) -> None:
    writer = CelebaWriter(tmp_path)
    for _ in range(3):
        writer.picture()
    writer.picture(partition=1)
    writer.picture(identity=None)
    writer.picture(identity="many")
    writer.picture(identity="3 4")
    writer.picture(partition=None)
    writer.picture(partition=7)
    writer.picture(partition="x")
    writer.picture(landmarks=None)
    writer.picture(landmarks=(5,) * 10)
    writer.picture(landmarks=LANDMARKS[:9])
    writer.picture(landmarks=(*LANDMARKS[:9], "9" * 5000))
    writer.picture(landmarks=(*LANDMARKS[:9], 10**9))
    writer.picture(attributes=None)
    writer.picture(identity=2)
    writer.picture(partition=2)
    for line in ("000001.jpg 9", "../../etc/passwd 1", "picture.jpg 1", "", "\ud7ff 1"):
        writer.add_line("identity_CelebA", line)
    selection = plan(writer.save(), "source.split=train", WHOLE).selection
    assert selection.facts == {
        "pictures": 15,
        "pictures without partition": 3,
        "pictures of other partitions (source.split)": 2,
        "pictures without usable landmarks": 5,
        "identities": 2,
        "identities with one picture": 1,
        "bad rows in identities": 6,
        "bad rows in partitions": 1,
        "bad rows in landmarks": 3,
    }
    assert selection.drops == {"partition": 0, "identity_cap": 0, "caption": 6}
    assert len(selection.records) == 6
    everything = plan(tmp_path, WHOLE).selection
    assert everything.drops["partition"] == 2 * (4 * 2 + 1)


@pytest.mark.parametrize("form", [{}, {"kaggle": True}, {"official": True}, {"kaggle": True, "official": True}])
def test_every_form_on_disk_gives_the_same_shards(tmp_path: Path, celeba: Path, form: dict[str, bool]) -> None:
    writer = CelebaWriter(tmp_path / "source", **form)
    for number in range(20):
        writer.picture(identity=100 + 7 * (number % 5))
    build(writer.save(), tmp_path / "out", "limit=6")
    build(celeba, tmp_path / "plain", "limit=6")
    assert digests(tmp_path / "out" / "face") == digests(tmp_path / "plain" / "face")


def test_a_sample_holds_what_the_contract_says(tmp_path: Path, celeba: Path) -> None:
    build(celeba, tmp_path)
    samples = samples_in(tmp_path / "face")
    assert len(samples) == 40
    for key, sample in samples.items():
        assert set(sample) == {"cond.jpg", "json", "target.jpg"}
        assert sample["cond.jpg"].size == sample["target.jpg"].size == (64, 64)
        facts = sample["json"]
        condition, target = key.split("-")[1:]
        assert facts["source"]["id"] == f"{condition}.jpg/{target}.jpg"
        assert (facts["task"], facts["slot"], facts["generation"]) == ("face", None, None)
        assert facts["prompt"].endswith("of a young man smiling") or "showing a young man smiling" in facts["prompt"]
        assert ("close-up" in facts["cond_prompt"]) == bool(facts["scores"]["zoomed"])
        assert "no redistribution" in facts["source"]["licence"]["name"]
        assert "CelebA" in facts["source"]["attribution"]
        assert facts["scores"]["side"] == 178
        assert (facts["scores"]["cond_side"] < 178) == bool(facts["scores"]["zoomed"])
    card = (tmp_path / "face" / "card.md").read_text()
    assert "real people" in card
    assert "non-commercial research only" in card


def test_half_is_zoomed_and_which_half_depends_on_seed_and_pair_only(celeba: Path) -> None:
    def zoomed(*overrides: str) -> dict[str, bool]:
        return {record.key: record.fields["zoomed"] for record in plan(celeba, *overrides).selection.records}

    whole, part, other = (
        zoomed(WHOLE),
        zoomed("pairs.max_per_identity=2", "source.split=train"),
        zoomed(WHOLE, "seed=1"),
    )
    assert 18 <= sum(whole.values()) <= 42
    assert all(whole[key] == part[key] for key in part)
    assert whole != other
    assert not any(zoomed(WHOLE, "zoom.fraction=0").values())
    assert all(zoomed(WHOLE, "zoom.fraction=1").values())


def test_the_zoom_shows_the_face_and_the_target_the_whole_square(tmp_path: Path) -> None:
    """A white picture with a red face: the zoomed condition is red, the target red in the middle of white."""
    pixels = np.full((SIZE[1], SIZE[0], 3), 255, np.uint8)
    pixels[72:192, 29:149] = (255, 0, 0)
    writer = CelebaWriter(tmp_path / "source")
    for _ in range(2):
        writer.picture(content=jpeg(Image.fromarray(pixels), subsampling=0))
    overrides = ("zoom.fraction=1", "pairs.min_hash_distance=0", "image_size=178")
    build(writer.save(), tmp_path / "out", *overrides)
    sample = next(iter(samples_in(tmp_path / "out" / "face").values()))
    condition, target = np.asarray(sample["cond.jpg"], float), np.asarray(sample["target.jpg"], float)
    assert np.abs(condition[4:-4, 4:-4] - (255, 0, 0)).mean() < 8
    assert np.abs(target[56:168, 33:145] - (255, 0, 0)).mean() < 8
    assert np.abs(target[:48] - 255).mean() < 8
    assert np.abs(target[:, :25] - 255).mean() < 8


def test_what_only_reading_shows_is_dropped_and_counted(tmp_path: Path) -> None:
    writer = CelebaWriter(tmp_path / "source")
    good = jpeg(textured(*SIZE, 99))
    contents: list[Any] = [
        b"",
        good[: len(good) // 2],
        b"text",
        textured(400, 400, 3),
        None,
        textured(*SIZE, 7).convert("L"),
    ]
    for number, content in enumerate(contents):
        writer.picture(identity=number, content=content)
        writer.picture(identity=number, content=textured(*SIZE, 50 + number))
    alike = textured(*SIZE, 200)
    writer.picture(identity=50, content=alike)
    writer.picture(identity=50, content=alike.resize((356, 436)).resize(SIZE))
    writer.picture(identity=51, landmarks=[1000 + value for value in LANDMARKS])
    writer.picture(identity=51, landmarks=[1000 + value for value in LANDMARKS])
    overrides = ("source.max_pixels=100000", "max_drop_fraction=1", "zoom.fraction=1")
    _, tally = build(writer.save(), tmp_path / "out", *overrides)
    assert dict(tally.drops) == {
        "missing_file": 2,
        "truncated": 2,
        "not_an_image": 2,
        "too_many_pixels": 2,
        "near_duplicate": 2,
        "landmarks_outside": 2,
    }
    assert tally.written == 4


def test_no_identity_is_in_both_splits(tmp_path: Path, celeba: Path) -> None:
    build(celeba, tmp_path, "val.fraction=0.4")
    lines = [json.loads(line) for line in (tmp_path / "face" / "manifest.jsonl").read_text().splitlines()]
    groups = {split: {line["group"] for line in lines if line["split"] == split} for split in ("train", "val")}
    assert groups["train"] | groups["val"] == {str(100 + 7 * number) for number in range(5)}
    assert groups["train"]
    assert groups["val"]
    assert not groups["train"] & groups["val"]


def test_shards_are_the_same_bytes_for_any_worker_count_and_after_a_loss(tmp_path: Path, celeba: Path) -> None:
    for workers in (1, 2):
        build(celeba, tmp_path / str(workers), f"executor.workers={workers}")
    one = digests(tmp_path / "1" / "face")
    assert one == digests(tmp_path / "2" / "face")
    (tmp_path / "1" / "face" / "train-000001.tar").unlink()
    build(celeba, tmp_path / "1")
    assert digests(tmp_path / "1" / "face") == one


@pytest.fixture
def celeba_hq(tmp_path: Path) -> Path:
    """Eight of CelebA's pictures in CelebA-HQ, of two persons."""
    writer = CelebaWriter(tmp_path / "source")
    names = [writer.picture(identity=1 + number % 2, partition=number // 4) for number in range(8)]
    writer.save()
    writer.save_hq(dict(zip((0, 5, 17, 29999, 2, 3, 4, 6), names, strict=True)))
    return tmp_path / "source"


def test_celeba_hq_joins_through_its_mapping(tmp_path: Path, celeba_hq: Path) -> None:
    made, tally = build(celeba_hq, tmp_path / "out", "source.form=hq", "zoom.scale=2.8")
    assert (made.selection.considered, made.selection.drops["partition"], tally.written) == (24, 16, 8)
    samples = samples_in(tmp_path / "out" / "face")
    assert "celeba-hq-000000-000017" in samples
    for sample in samples.values():
        scores = sample["json"]["scores"]
        assert scores["side"] == 256
        assert scores["cond_side"] == (179 if scores["zoomed"] else 256)
    assert "do not fit" in (tmp_path / "out" / "face" / "card.md").read_text()


def test_celeba_hq_needs_no_landmarks_and_may_lie_in_its_own_folder(tmp_path: Path, celeba_hq: Path) -> None:
    expected = plan(celeba_hq, "source.form=hq").hash
    (celeba_hq / "list_landmarks_align_celeba.txt").unlink()
    (celeba_hq / "CelebAMask-HQ").mkdir()
    for name in ("CelebA-HQ-img", "CelebA-HQ-to-CelebA-mapping.txt"):
        (celeba_hq / name).rename(celeba_hq / "CelebAMask-HQ" / name)
    assert plan(celeba_hq, "source.form=hq").hash == expected


def test_bad_rows_of_the_mapping_are_counted(celeba_hq: Path) -> None:
    path = celeba_hq / "CelebA-HQ-to-CelebA-mapping.txt"
    path.write_text(path.read_text() + "9 0 000001.jpg\n7 8\nx y z\n31 99 000100.jpg\n")
    facts = plan(celeba_hq, "source.form=hq").selection.facts
    assert facts["bad rows in mapping"] == 3
    assert facts["pictures without identity"] == 1


def test_the_template_needs_no_attributes(tmp_path: Path) -> None:
    source = write_celeba_source(tmp_path / "source", persons=2, pictures=2)
    (source / "list_attr_celeba.txt").unlink()
    build(source, tmp_path / "out", "captioner=template")
    for sample in samples_in(tmp_path / "out" / "face").values():
        assert sample["json"]["prompt"] == sample["json"]["cond_prompt"] == "a photo of a person"


def empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGED: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "no root": (".", lambda path: path.rename(path.with_name("away")), "has no folder img_align_celeba"),
    "no pictures": (
        "img_align_celeba",
        lambda path: path.rename(path.with_name("x")),
        "has no folder img_align_celeba",
    ),
    "no identities": ("identity_CelebA.txt", Path.unlink, r"(?s)has no identity_CelebA.*How to obtain.*real people"),
    "no partitions": ("list_eval_partition.txt", Path.unlink, "has no list_eval_partition"),
    "no landmarks": ("list_landmarks_align_celeba.txt", Path.unlink, "has no list_landmarks_align_celeba"),
    "no attributes": ("list_attr_celeba.txt", Path.unlink, "has no list_attr_celeba"),
    "empty identities": ("identity_CelebA.txt", empty, "identity_CelebA.txt is damaged: it has no usable row"),
    "empty attributes": ("list_attr_celeba.txt", empty, "list_attr_celeba.txt is damaged"),
    "a page": ("list_eval_partition.txt", lambda path: path.write_text("<html>\n<body>"), "is a web page"),
    "a quota": (
        "identity_CelebA.txt",
        lambda path: path.write_text("<!DOCTYPE html>\n<html><title>Google Drive - Quota exceeded</title>"),
        r"is a web page \(\"Google Drive - Quota exceeded\"\), not the file.*later or from elsewhere",
    ),
    "attributes that were cut": (
        "list_attr_celeba.txt",
        lambda path: path.write_text("\n".join(["9", *path.read_text().splitlines()[1:]])),
        "it says that it has 9 rows, and there are 2",
    ),
    "identities that were cut": (
        "identity_CelebA.txt",
        lambda path: path.write_text("".join(path.read_text().splitlines(keepends=True)[:1])),
        "identity_CelebA has 1 rows, and list_eval_partition 2: it was cut short",
    ),
    "no text": ("identity_CelebA.txt", lambda path: path.write_bytes(b"\xff\xfe\x00"), "it is no text"),
    "attributes without header": (
        "list_attr_celeba.txt",
        lambda path: path.write_text("\n".join(path.read_text().splitlines()[2:])),
        "it has no usable row",
    ),
    "attributes of another set": (
        "list_attr_celeba.txt",
        lambda path: path.write_text("1\nA B\n000001.jpg 1 -1\n"),
        "does not name the attributes",
    ),
    "a folder for a table": (
        "identity_CelebA.txt",
        lambda path: (path.unlink(), path.mkdir()),
        "has no identity_CelebA",
    ),
}


@pytest.mark.parametrize(("place", "damage", "message"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_sources_are_refused_by_name(
    tmp_path: Path, place: str, damage: Callable[[Path], Any], message: str
) -> None:
    source = write_celeba_source(tmp_path / "source", persons=1, pictures=2)
    damage(source / place)
    with pytest.raises(DataError, match=message):
        build(source, tmp_path / "out")


@pytest.mark.parametrize("missing", ["CelebA-HQ-img", "CelebA-HQ-to-CelebA-mapping.txt"])
def test_a_missing_part_of_celeba_hq_is_named(tmp_path: Path, celeba_hq: Path, missing: str) -> None:
    (celeba_hq / missing).rename(tmp_path / "away")
    with pytest.raises(DataError, match=rf"(?s)has no .*{missing}.*CelebAMask-HQ"):
        plan(celeba_hq, "source.form=hq")


def test_a_source_of_single_pictures_has_no_pair(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing is left to build of 0 candidates"):
        plan(write_celeba_source(tmp_path, persons=3, pictures=1))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["source.form=big"], "source.form=big is none of aligned, hq"),
        (["source.split=valid"], "source.split=valid is none of all, train, val, test"),
        (["captioner.name=names"], "captioner=names is none of"),
        (["captioner=template", "captioner.template=x"], "must hold {objects}"),
        (["pairs.max_per_identity=0"], "pairs.max_per_identity=0 must be above 0"),
        (["pairs.min_hash_distance=65"], "pairs.min_hash_distance=65 must lie between"),
        (["zoom.fraction=1.5"], "zoom.fraction=1.5 must lie between"),
        (["zoom.scale=0"], "zoom.scale=0.0 must lie between"),
        (["source.max_pixels=0"], "source.max_pixels=0 must be above 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        configure(tmp_path, tmp_path, *overrides)


def test_a_killed_command_continues_to_the_same_bytes(tmp_path: Path, celeba: Path) -> None:
    settings = ("task=face", "source.split=all", "shard_size=2", "image_size=512")
    build(celeba, tmp_path / "whole", *settings)
    done, files = killed_and_continued(command(celeba, tmp_path / "out", *settings), tmp_path / "out" / "face")
    assert 0 < done < len(list((tmp_path / "whole" / "face").glob("*.tar")))
    assert files == digests(tmp_path / "whole" / "face")


def test_a_mapping_without_a_header_keeps_its_first_picture(tmp_path: Path) -> None:
    writer = CelebaWriter(tmp_path / "source")
    names = [writer.picture() for _ in range(3)]
    writer.save_hq(dict(enumerate(names)))
    path = writer.save() / "CelebA-HQ-to-CelebA-mapping.txt"
    kept = {}
    for header in ("idx  orig_idx    orig_file\n", "", "idx orig_idx orig_file proc_md5 final_md5\n"):
        rows = path.read_text().splitlines()[-3:]
        sums = "  48c04554  3a92ca2d" if "md5" in header else ""
        path.write_text(header + "".join(f"{row}{sums}\n" for row in rows))
        found = plan(tmp_path / "source", "source.form=hq", WHOLE)
        kept[header] = sorted(record.key for shard in found.shards for record in shard.records)
    assert len(set(map(tuple, kept.values()))) == 1
    assert len(next(iter(kept.values()))) == 6


def test_pictures_without_loss_and_tables_that_pandas_wrote(tmp_path: Path) -> None:
    writer = CelebaWriter(tmp_path / "source", kaggle=True)
    for number in range(4):
        writer.picture(identity=number % 2)
    root = writer.save()
    pngs = root / "img_align_celeba_png"
    pngs.mkdir()
    for path in sorted(writer.pictures.glob("*.jpg")):
        Image.open(path).save(pngs / f"{path.stem}.png")
    shutil.rmtree(root / "img_align_celeba")
    for path in root.glob("*.csv"):
        head, *rows = path.read_text().splitlines()
        numbered = [f",{head}", *(f"{number},{row}" for number, row in enumerate(rows))]
        floats = [f"{line}.0" if number and "identity" in path.name else line for number, line in enumerate(numbered)]
        path.write_text("\n".join(floats) + "\n")
    found, tally = build(root, tmp_path / "out", WHOLE)
    assert tally.written == found.count("train") + found.count("val") == 4


def test_a_file_of_nearly_the_authors_size_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = write_celeba_source(tmp_path / "source", persons=1, pictures=2)
    plan(source, WHOLE)
    assert not caplog.text
    with (source / "identity_CelebA.txt").open("a") as file:
        file.write("\n" * 3_000_000)
    plan(source, WHOLE)
    assert "the authors' has 3424458: it may be cut short" in caplog.text


def test_a_limit_that_is_not_reached_is_said_with_the_setting_that_gives_more(tmp_path: Path) -> None:
    source = write_celeba_source(tmp_path / "source", persons=2, pictures=4)
    found = plan(source, WHOLE, "pairs.max_per_identity=3")
    assert "limit not reached: 6 of 41,000 (try pairs.max_per_identity=6)" in plan_text(found, 41_000)
    assert "not reached" not in plan_text(found, 6)
