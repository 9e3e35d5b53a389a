"""The InstantStyle builder on small sources: counts, samples, duplicates, damaged files, any number of workers."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_builders.engine.plan import Plan
from data_builders.engine.run import build, plan_build
from data_builders.instantstyle.builder import InstantStyleBuilder
from data_builders.registry import create_builder
from ipai.errors import ConfigError, DataError
from tests.helpers import building
from tests.helpers.building import build_all, digests, samples_in
from tests.helpers.coco_source import jpeg
from tests.helpers.style_source import (
    PROMPTS,
    style_image,
    write_captions,
    write_images,
    write_parquet,
    write_style_source,
)
from tests.helpers.teacher_miniatures import sdxl_overrides, style_overrides

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def styles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_style_source(tmp_path_factory.mktemp("styles"))


def words_for(source: Path) -> tuple[str, ...]:
    return ("task=style", f"source.prompts={source / 'prompts.txt'}", "source.pairs_per_image=2")


def configure(source: Path, output: Path, teachers: Path, *overrides: str) -> Any:
    return building.configure(source, output, *words_for(source), *style_overrides(teachers), *overrides)


def plan(source: Path, *overrides: str) -> Plan:
    config = building.configure(source, Path("unused"), *words_for(source), "dry_run=true", *overrides)
    return plan_build(create_builder(config), config)


def test_every_reason_is_counted_once_and_in_order(tmp_path: Path) -> None:
    good = jpeg(style_image(1))
    contents = {
        "images/a.jpg": good,
        "images/b.jpg": good,
        "images/c.jpg": jpeg(style_image(1).resize((330, 286))),
        "images/d.png": b"text",
        "images/e.webp": b"",
        "images/f.JPG": good[: len(good) // 2],
        "images/g.jpg": jpeg(style_image(3).resize((200, 200))),
        "images/h.jpg": jpeg(style_image(4).resize((900, 900))),
        "images/i.jpg": jpeg(style_image(5)),
        "images/j.jpg": jpeg(style_image(6).convert("L")),
        "images/.hidden.jpg": jpeg(style_image(7)),
        "images.zip": b"PK",
        "images/notes.txt": b"no picture",
    }
    write_images(tmp_path, contents)
    (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS))
    write_captions(tmp_path, {"images/a.jpg": "a caption", "images/j.jpg": "a grey one"})
    found = plan(tmp_path, "source.max_pixels=500000").selection
    # Each picture that is left out costs its two pairs.
    assert found.drops == {
        "not_an_image": 4,
        "too_many_pixels": 2,
        "truncated": 2,
        "too_small": 2,
        "duplicate": 2,
        "near_duplicate": 2,
        "caption": 2,
    }
    assert found.considered == 20 == len(found.records) + sum(found.drops.values())
    assert sorted({record.fields["file"] for record in found.records}) == ["images/a.jpg", "images/j.jpg"]
    assert found.facts["pictures"] == 10
    assert found.facts["style images"] == 2
    assert "near_duplicate" not in plan(tmp_path, "source.min_distance=0").selection.drops


def test_names_that_no_record_can_hold_are_counted(tmp_path: Path) -> None:
    source = write_style_source(tmp_path / "in", images=1)
    try:
        (source / os.fsdecode(b"\xff.jpg")).write_bytes(jpeg(style_image(9)))
    except OSError:
        pytest.skip("this file system takes no such name")
    assert plan(source).selection.drops == {"name": 2}


def test_a_sample_holds_what_the_contract_says(tmp_path: Path, styles: Path, teachers: Path) -> None:
    build_all(configure(styles, tmp_path, teachers))
    samples = samples_in(tmp_path / "style")
    assert len(samples) == 12
    for key, sample in samples.items():
        facts = sample["json"]
        name = facts["source"]["id"]
        assert facts["prompt"] in PROMPTS
        assert facts["cond_prompt"] == f"what {name} shows"
        assert (facts["slot"], facts["scores"]) == (None, {})
        assert facts["source"]["licence"]["name"].startswith("MIT as tagged by the uploader")
        assert facts["generation"]["teacher"] == "instantstyle_sd15"
        assert facts["generation"]["settings"]["scales"] == {"up": {"block_1": [1.0, 1.0, 1.0]}}
        assert sample["cond.jpg"].size == sample["target.jpg"].size == (64, 64)
        square = Image.open(styles / name).crop((20, 0, 280, 260)).resize((64, 64), Image.Resampling.LANCZOS)
        assert np.abs(np.asarray(sample["cond.jpg"]).astype(int) - np.asarray(square)).mean() < 6, key
    assert len({sample["json"]["generation"]["seed"] for sample in samples.values()}) == 12
    card = (tmp_path / "style" / "card.md").read_text()
    assert "rights in the pictures are unclear" in card
    assert "text, watermark, lowres" in card


def test_no_style_image_is_in_both_splits(styles: Path) -> None:
    found = plan(styles, "val.fraction=0.4")
    sides = {
        split: {r.group for s in found.shards if s.split == split for r in s.records} for split in ("train", "val")
    }
    assert sides["val"]
    assert sides["train"]
    assert not sides["train"] & sides["val"]


def test_pairs_do_not_depend_on_which_other_images_there_are(tmp_path: Path, styles: Path) -> None:
    def prompts(source: Path) -> dict[str, str]:
        return {record.key: record.fields["prompt"] for record in plan(source).selection.records}

    more = prompts(write_style_source(tmp_path, images=8))
    assert len(more) == 16
    assert prompts(styles).items() < more.items()
    assert len(set(more.values())) > 1


@pytest.mark.long  # two processes import everything
def test_the_same_bytes_for_any_worker_count_and_after_a_stop(tmp_path: Path, styles: Path, teachers: Path) -> None:
    for workers in (1, 2):
        build_all(configure(styles, tmp_path / str(workers), teachers, f"executor.workers={workers}"))
    one, two = (digests(tmp_path / str(workers) / "style") for workers in (1, 2))
    assert one == two
    config = configure(styles, tmp_path / "3", teachers)
    builder = InstantStyleBuilder(config)
    running = build(builder, config, plan_build(builder, config))
    next(running)
    running.close()
    build_all(config)
    assert digests(tmp_path / "3" / "style") == one


def test_one_sample_alone_is_the_one_in_the_shard(tmp_path: Path, styles: Path, teachers: Path) -> None:
    builder = InstantStyleBuilder(configure(styles, tmp_path, teachers))
    records = builder.select().records
    assert builder.make(records[4]) == list(builder.make_many(records))[4]


def test_sdxl_builds_too(tmp_path: Path, styles: Path, teachers: Path) -> None:
    build_all(building.configure(styles, tmp_path, *words_for(styles), *sdxl_overrides(teachers), "limit=2"))
    for sample in samples_in(tmp_path / "style").values():
        models = sample["json"]["generation"]["models"]
        assert sample["json"]["generation"]["teacher"] == "instantstyle_sdxl"
        assert {"text_encoder_2", "tokenizer_2", "adapter", "image_encoder"} <= models.keys()


def test_parquet_gives_the_same_pictures_and_its_own_drops(tmp_path: Path, styles: Path, teachers: Path) -> None:
    contents = [(styles / f"images/{number:03d}.jpg").read_bytes() for number in range(3)]
    source = tmp_path / "in"
    write_parquet(source / "data" / "train-0.parquet", [*contents, None, b"text", contents[0]])
    (source / "prompts.txt").write_text("\n".join(PROMPTS))
    _, tally = build_all(configure(source, tmp_path / "out", teachers, "captioner=template"))
    assert tally.written == 6
    selection = plan(source, "captioner=template").selection
    assert selection.drops == {"no_picture": 2, "not_an_image": 2, "duplicate": 2}
    folder = {record.key for record in plan(styles).selection.records}
    samples = samples_in(tmp_path / "out" / "style")
    assert samples.keys() < folder
    assert {sample["json"]["source"]["id"] for sample in samples.values()} == {
        f"data/train-0.parquet#{row // 2}/{row}".replace("#1/2", "#1/0") for row in range(3)
    }
    assert {sample["json"]["cond_prompt"] for sample in samples.values()} == {"a picture"}


def test_an_image_that_changed_since_the_plan_is_dropped(tmp_path: Path, teachers: Path) -> None:
    source = write_style_source(tmp_path / "in", images=2)
    config = configure(source, tmp_path / "out", teachers)
    builder = create_builder(config)
    planned = plan_build(builder, config)
    (source / "images" / "000.jpg").unlink()
    (source / "images" / "001.jpg").write_bytes(b"text")
    drops = [progress.drops for progress in build(builder, config, planned)]
    assert sorted(reason for drop in drops for reason in drop) == ["missing_file", "not_an_image"]


@pytest.mark.parametrize("name", ["captions.jsonl", "metadata.jsonl", "images/metadata.jsonl"])
def test_captions_lie_beside_the_pictures(tmp_path: Path, name: str) -> None:
    source = write_style_source(tmp_path, images=2)
    (source / "captions.jsonl").unlink()
    within = Path(name).parent
    place = os.path.relpath("images/001.jpg", within)
    write_captions(source, {place: " a\n caption "}, name)
    records = plan(source).selection.records
    assert {(record.fields["file"], record.fields["cond_prompt"]) for record in records} == {
        ("images/001.jpg", "a caption")
    }


@pytest.mark.parametrize("line", ["{", "[]", '{"file_name": "a"}', "7"])
def test_damaged_captions_are_refused_by_line(tmp_path: Path, line: str) -> None:
    source = write_style_source(tmp_path, images=1)
    with (source / "captions.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DataError, match=r"captions\.jsonl is damaged: line 2"):
        plan(source)


def test_missing_captions_are_refused_with_both_ways_out(tmp_path: Path) -> None:
    source = write_style_source(tmp_path, images=1)
    (source / "captions.jsonl").unlink()
    with pytest.raises(DataError, match=r"captions\.jsonl.*captioner=template"):
        plan(source)
    assert plan(source, "captioner=template").count("train") > 0


def test_a_folder_without_pictures_is_refused_with_the_steps(tmp_path: Path) -> None:
    source = write_style_source(tmp_path, images=1)
    (source / "images" / "000.jpg").unlink()
    (source / "images.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"(?s)holds no pictures.*hf download ehristoforu/midjourney-images.*a zip"):
        plan(source)


def test_parquet_without_the_column_is_refused(tmp_path: Path) -> None:
    source = write_style_source(tmp_path, images=1)
    write_parquet(source / "x.parquet", [b"x"], column="picture")
    with pytest.raises(DataError, match=r"has no column image.*source\.picture_column"):
        plan(source)


def test_the_manifest_holds_no_prompt_and_no_path_of_this_machine(tmp_path: Path, styles: Path, teachers: Path) -> None:
    build_all(configure(styles, tmp_path / "out", teachers))
    lines = [json.loads(line) for line in (tmp_path / "out" / "style" / "manifest.jsonl").read_text().splitlines()]
    assert len(lines) == 12
    text = json.dumps(lines)
    assert str(styles) not in text
    assert not any(prompt in text for prompt in PROMPTS)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("captioner=template captioner.template='a_{objects}'", "must be words without braces"),
        ("captioner.name=blip", "captioner=blip is none of dataset, template"),
        ("captioner=template teacher.subtract_content=0.5", "needs a caption of each style image"),
        ("source.pairs_per_image=0", "source.pairs_per_image=0 must be above 0"),
        ("source.min_distance=65", "source.min_distance=65 must lie between 0 and 64"),
        ("prompts.min_words=50", "prompts.min_words=50 must lie between 1 and prompts.max_words"),
        ("prompts.columns=[]", "must name a column"),
        ("~teacher.scales.up", "switches the style image off"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        building.configure(tmp_path, tmp_path, *words_for(tmp_path), *override.split())
