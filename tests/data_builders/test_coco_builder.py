"""The COCO builder on sources that are crafted for it: drop counts, pictures, captions, licences, damaged files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_builders.coco.filters import FILTERS
from data_builders.engine.keyed_hash import rank
from data_builders.engine.run import plan_build
from data_builders.registry import create_builder
from ipai.errors import DataError
from tests.helpers.building import build_all, configure, samples_in
from tests.helpers.coco_source import SPLIT, CocoWriter, ellipse, jpeg, textured, write_coco_source

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
GOOD = (60.0, 40.0, 120.0, 120.0)
RUNS = {"size": [240, 320], "counts": [320 * 240 // 2, 320 * 240 // 2]}


def object_folder(tmp_path: Path) -> Path:
    return tmp_path / "out" / "object"


def test_every_reason_is_counted_once_and_in_order(tmp_path: Path) -> None:
    """Each annotation below fails exactly one filter; a photograph without annotations counts nowhere."""
    writer = CocoWriter(tmp_path / "coco")
    for licence, fields in (
        (3, {}),
        (4, {"iscrowd": 1, "segmentation": RUNS}),
        (4, {"segmentation": []}),
        (4, {"segmentation": [[1, 2, 3, 4]]}),
        (4, {"bbox": [60, 40, float("nan"), 120]}),
        (4, {"bbox": [60, 40, -5, 120]}),
        (4, {"bbox": [300, 40, 120, 120]}),
        (4, {"area": float("nan")}),
        (4, {"area": 100.0}),
        (4, {"area": 0.75 * 320 * 240}),
        (4, {"bbox": [60, 40, 95, 150]}),
        (4, {"bbox": [60, 40, 200, 150], "area": 0.3 * 200 * 150}),
        (4, {"bbox": [0, 0, 318, 120], "area": 0.5 * 318 * 120}),
        (4, {"bbox": [20, 40, 280, 120], "area": 0.5 * 280 * 120}),
        (4, {"category_id": 99}),
    ):
        writer.object(writer.photo(licence=licence), GOOD, **fields)
    two = writer.photo()
    writer.object(two, (20, 40, 100, 100))
    writer.object(two, (150, 40, 130, 130), category="apple")
    writer.object(writer.photo(caption=None), GOOD)
    for _ in range(3):
        writer.object(writer.photo(), GOOD)
    writer.photo()
    writer.object(999_999, GOOD)
    config = configure(
        writer.save(), tmp_path / "out", "source.licences=permissive", "filters.max_per_category=2", "dry_run=true"
    )
    selection = plan_build(create_builder(config), config).selection
    assert selection.drops == {
        "reference": 2,
        "licence": 1,
        "crowd": 1,
        "segmentation": 2,
        "box": 4,
        "area": 2,
        "side": 1,
        "fill": 1,
        "borders": 1,
        "visible": 1,
        "one_per_photo": 1,
        "caption": 1,
        "category_cap": 1,
    }
    assert list(selection.drops) == ["reference", *(name for name, _, _ in FILTERS), *list(selection.drops)[-3:]]
    assert selection.considered == len(selection.records) + sum(selection.drops.values()) == 22
    assert sorted(record.fields["category"] for record in selection.records) == ["apple", "dog", "dog"]
    assert selection.facts == {"photographs": 21, "without annotations": 1}
    assert not (tmp_path / "out").exists()


def test_what_only_reading_shows_is_dropped_and_counted(tmp_path: Path) -> None:
    writer = CocoWriter(tmp_path / "coco")
    good = jpeg(textured(320, 240, 1))
    for content in (
        None,
        b"",
        good[: len(good) // 2],
        b"text",
        jpeg(textured(300, 240, 1)),
        jpeg(textured(900, 700, 1)),
    ):
        writer.object(writer.photo(content=content), GOOD)
    gray = writer.photo(content=jpeg(textured(320, 240, 2).convert("L")))
    writer.object(gray, GOOD)
    writer.object(writer.photo(), GOOD, segmentation=[[60, 40, 60, 40, 60, 40]])
    config = configure(writer.save(), tmp_path / "out", "source.max_pixels=100000", "shard_size=100")
    _, tally = build_all(config)
    assert dict(tally.drops) == {
        "missing_file": 1,
        "truncated": 1,
        "not_an_image": 1,
        "size_mismatch": 1,
        "too_many_pixels": 1,
        "empty_mask": 1,
    }
    assert tally.written == len(samples_in(object_folder(tmp_path))) == 2
    card = (object_folder(tmp_path) / "card.md").read_text()
    assert "| - truncated (found when reading) | 1 |" in card


def test_a_sample_holds_what_the_contract_says(tmp_path: Path, coco: Path) -> None:
    build_all(configure(coco, tmp_path / "out"))
    samples = samples_in(object_folder(tmp_path))
    assert len(samples) == 10
    for key, sample in samples.items():
        assert set(sample) == {"cond.jpg", "json", "target.jpg"}
        assert sample["cond.jpg"].size == sample["target.jpg"].size == (64, 64)
        facts = sample["json"]
        number = int(key.split("-")[1])
        assert facts["prompt"] == f"photo {number}"
        assert facts["task"] == "object"
        assert facts["generation"] is None
        assert facts["slot"] in facts["cond_prompt"]
        assert facts["source"]["dataset"] == "coco2017"
        assert facts["source"]["attribution"] == f"http://farm1.staticflickr.com/{number}.jpg"
        assert facts["source"]["licence"]["url"].startswith("http")
        assert facts["scores"]["visible"] == 1.0
        assert set(facts["builder"]) == {"name", "version", "config_hash"}


def test_the_pictures_show_the_object_on_one_colour_and_the_whole_scene(tmp_path: Path) -> None:
    """A white photograph with a red object: the condition is red on the keyed colour, the target red on white."""
    pixels = np.full((240, 320, 3), 255, np.uint8)
    pixels[40:160, 60:180] = (255, 0, 0)
    writer = CocoWriter(tmp_path / "coco")
    photo = writer.photo(content=jpeg(Image.fromarray(pixels), subsampling=0))
    number = writer.object(photo, GOOD, segmentation=[[60, 40, 180, 40, 180, 160, 60, 160]], area=14_400)
    build_all(configure(writer.save(), tmp_path / "out", "image_size=120", "seed=5"))
    (sample,) = samples_in(object_folder(tmp_path)).values()
    condition, target = np.asarray(sample["cond.jpg"], float), np.asarray(sample["target.jpg"], float)
    colour = list(rank(5, "colour", str(number))[:3])
    assert np.abs(condition[:6] - colour).max() < 12  # the margin: a twelfth of the square
    assert np.abs(condition[60, 60] - (255, 0, 0)).max() < 12
    assert np.abs(condition[14:106, 14:106] - (255, 0, 0)).mean() < 6
    # The square 40..280 of the photograph is halved, so the object lies at 10..70 x 20..80.
    assert np.abs(target[24:76, 14:66] - (255, 0, 0)).mean() < 6
    assert np.abs(target[:, 80:] - 255).mean() < 6


def test_the_colour_follows_seed_and_annotation_only(tmp_path: Path, coco: Path) -> None:
    corner: list[dict[str, Any]] = []
    for name, overrides in {"a": ["seed=1"], "b": ["seed=2"], "c": ["seed=1", "limit=5", "val.fraction=0.5"]}.items():
        build_all(configure(coco, tmp_path / name, *overrides))
        found = samples_in(tmp_path / name / "object")
        corner.append({key: sample["cond.jpg"].getpixel((1, 1)) for key, sample in found.items()})
    first, second, third = corner
    assert len(set(first.values())) == 10
    assert all(first[key] != second[key] for key in first)
    assert len(third) == 5
    assert all(first[key] == third[key] for key in third)


def test_template_captions_name_what_the_target_shows(tmp_path: Path) -> None:
    writer = CocoWriter(tmp_path / "coco")
    photo = writer.photo(640, 240)
    writer.object(photo, (200, 40, 130, 130), category="person")
    writer.object(photo, (350, 40, 60, 60), category="dog")
    writer.object(photo, (350, 140, 60, 60), category="dog")
    writer.object(photo, (600, 40, 30, 30), category="apple")  # outside the square
    writer.object(photo, (210, 10, 30, 30), category="apple", iscrowd=1, segmentation=RUNS)
    build_all(configure(writer.save(), tmp_path / "out", "captioner=template"))
    (sample,) = samples_in(object_folder(tmp_path)).values()
    assert sample["json"]["prompt"] == "a photo of a person and two dogs"
    assert sample["json"]["cond_prompt"] == "a photo of a person"


def test_of_equally_large_objects_the_lower_id_stays(tmp_path: Path) -> None:
    writer = CocoWriter(tmp_path / "coco")
    photo = writer.photo()
    first = writer.object(photo, (10, 40, 120, 120))
    writer.object(photo, (150, 40, 120, 120))
    build_all(configure(writer.save(), tmp_path / "out"))
    assert [key.split("-")[2] for key in samples_in(object_folder(tmp_path))] == [str(first)]


def test_objects_given_as_runs_are_cut_too(tmp_path: Path) -> None:
    writer = CocoWriter(tmp_path / "coco")
    column = [60, 120, 60]  # rows 60..180 of each column 100..220
    counts = [240 * 100 + 60, *([120, 120] * 119), 120, 60 + 240 * 100]
    assert sum(counts) == 320 * 240
    assert sum(column) == 240
    writer.object(writer.photo(), (100, 60, 120, 120), segmentation={"size": [240, 320], "counts": counts}, area=14_400)
    _, tally = build_all(configure(writer.save(), tmp_path / "out"))
    assert tally.written == 1


def edit(source: Path, kind: str, change: Any) -> None:
    path = source / "annotations" / f"{kind}_val2017.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(change(content)))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda _: [], "no list 'images'"),
        (lambda c: c | {"annotations": None}, "no list 'annotations'"),
        (lambda c: c | {"images": [{"id": 1}]}, r"images\[0\] lacks"),
        (lambda c: c | {"annotations": [7]}, r"annotations\[0\] lacks"),
        (lambda c: c | {"images": [c["images"][0] | {"file_name": "../../secret"}]}, "impossible file_name"),
        (lambda c: c | {"images": [c["images"][0] | {"width": 0}]}, "impossible file_name, width"),
    ],
)
def test_damaged_annotations_are_refused_with_the_place(tmp_path: Path, change: Any, fault: str) -> None:
    source = write_coco_source(tmp_path / "coco", images=2)
    edit(source, "instances", change)
    with pytest.raises(DataError, match=fault):
        build_all(configure(source, tmp_path / "out"))


def test_cut_off_json_is_refused(tmp_path: Path) -> None:
    source = write_coco_source(tmp_path / "coco", images=2)
    path = source / "annotations" / "instances_val2017.json"
    path.write_text(path.read_text()[:-40])
    with pytest.raises(DataError, match="not JSON"):
        build_all(configure(source, tmp_path / "out"))


def test_missing_captions_name_the_way_without_them(tmp_path: Path) -> None:
    source = write_coco_source(tmp_path / "coco", images=3)
    (source / "annotations" / "captions_val2017.json").unlink()
    with pytest.raises(DataError, match="captioner=template"):
        build_all(configure(source, tmp_path / "out"))
    _, tally = build_all(configure(source, tmp_path / "out", "captioner=template"))
    assert tally.written == 3


@pytest.mark.parametrize("missing", [".", "annotations/instances_val2017.json", "val2017"])
def test_a_missing_source_is_refused_with_the_steps_to_obtain_it(tmp_path: Path, missing: str) -> None:
    source = write_coco_source(tmp_path / "coco", images=2)
    (source / missing).rename(tmp_path / "away")
    with pytest.raises(DataError, match=r"(?s)does not exist.*annotations_trainval2017.zip.*CC BY 4.0"):
        build_all(configure(source, tmp_path / "out"))


def test_the_category_cap_is_a_draw_that_order_does_not_change(tmp_path: Path) -> None:
    source = write_coco_source(tmp_path / "coco", images=10)
    edit(source, "instances", lambda c: c | {"annotations": [a | {"category_id": 18} for a in c["annotations"]]})
    first, _ = build_all(configure(source, tmp_path / "a", "filters.max_per_category=4"))
    edit(source, "instances", lambda c: c | {"annotations": c["annotations"][::-1], "images": c["images"][::-1]})
    second, _ = build_all(configure(source, tmp_path / "b", "filters.max_per_category=4"))
    assert first.hash == second.hash
    assert len(first.selection.records) == 4
    assert first.selection.drops["category_cap"] == 6


def test_the_ellipse_of_the_helper_fills_its_box() -> None:
    polygon = np.reshape(ellipse(GOOD), (-1, 2))
    assert polygon.min(0) == pytest.approx([60, 40])
    assert polygon.max(0) == pytest.approx([180, 160])


def test_the_caption_is_the_first_that_names_the_object(tmp_path: Path) -> None:
    writer = CocoWriter(tmp_path / "coco")
    for texts in (
        ["a room", "two puppies on a sofa", "a dog"],
        ["a dog first", "a dog then"],
        ["a hot dog", "nothing of it"],
    ):
        photo = writer.photo(caption=None)
        writer.object(photo, GOOD)
        for number, text in enumerate(texts):
            writer.captions.append({"id": 10 * photo + number, "image_id": photo, "caption": text})
    config = configure(writer.save(), tmp_path / "out", "dry_run=true")
    records = plan_build(create_builder(config), config).selection.records
    assert sorted(record.fields["prompt"] for record in records) == [
        "a dog first",
        "a hot dog",
        "two puppies on a sofa",
    ]


def test_photographs_may_lie_in_images(tmp_path: Path) -> None:
    source = write_coco_source(tmp_path / "coco", images=3)
    build_all(configure(source, tmp_path / "plain"))
    (source / "images").mkdir()
    (source / SPLIT).rename(source / "images" / SPLIT)
    _, tally = build_all(configure(source, tmp_path / "inside"))
    assert tally.written == 3
    plain, inside = (samples_in(tmp_path / name / "object") for name in ("plain", "inside"))
    assert all(np.array_equal(plain[key]["target.jpg"], inside[key]["target.jpg"]) for key in plain)


def test_an_annotation_file_that_is_a_web_page_is_told_so(tmp_path: Path) -> None:
    source = write_coco_source(tmp_path / "coco", images=1)
    path = next((source / "annotations").glob("instances_*.json"))
    path.write_text("<!doctype html><html><head><title>Sign in</title>")
    config = configure(source, tmp_path / "out")
    with pytest.raises(DataError, match=r'is a web page \("Sign in"\)'):
        plan_build(create_builder(config), config)


def test_the_crop_may_keep_what_is_around_the_object(tmp_path: Path) -> None:
    writer = CocoWriter(tmp_path / "coco")
    green = Image.new("RGB", (320, 240), (0, 160, 0))
    writer.object(writer.photo(content=jpeg(green)), GOOD)
    source = writer.save()
    shares = {}
    for background in ("colour", "photo"):
        build_all(configure(source, tmp_path / background, f"crop.background={background}"))
        (sample,) = samples_in(tmp_path / background / "object").values()
        pixels = np.asarray(sample["cond.jpg"], dtype=int)
        shares[background] = (np.abs(pixels - (0, 160, 0)).max(axis=-1) < 16).mean()
    assert shares["photo"] > 0.98  # the square lies in the photograph
    assert 0.4 < shares["colour"] < 0.75  # an ellipse in its box with a margin
