"""Style pairs of two contents and one style in words, drawn by miniatures."""

from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from PIL import Image

from data_builders.engine.config import parse
from data_builders.engine.records import Drop
from data_builders.engine.run import plan_build
from data_builders.registry import create_builder, schema_of
from data_builders.teachers import batches
from data_builders.teachers.request import Request
from data_builders.worded_style.builder import read_styles
from ipai.errors import ConfigError, DataError
from tests.helpers import building
from tests.helpers.building import build_all, digests, samples_in
from tests.helpers.teacher_miniatures import sdxl_text_overrides, text_overrides

CONTENTS = ("a red house by the sea", "two dogs on a beach", "an old tree", "a bowl of apples", "a city at night")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "contents.txt").write_text("\n".join(CONTENTS))
    (tmp_path / "styles.txt").write_text("charcoal drawing\nneon sign\n\ncharcoal drawing\n")
    return tmp_path


def configure(source: Path, output: Path, *words: str) -> Any:
    own = ("task=worded_style", f"source.prompts={source}/contents.txt", f"source.styles={source}/styles.txt")
    return configured(output, *own, "source.pairs_per_style=4", *text_overrides(), *words)


def configured(output: Path, *words: str) -> Any:
    with initialize_config_dir(version_base="1.3", config_dir=str(building.ROOT / "conf" / "build")):
        raw = compose("build_datasets", overrides=[f"output={output}", *building.SMALL, *words])
    return parse(raw, schema_of(raw.task, raw.get("builder")))


def test_a_pair_shares_the_style_and_nothing_else(source: Path) -> None:
    selection = create_builder(configure(source, source / "out")).select()
    assert len(selection.records) == 2 * 4
    assert Counter(record.fields["style"] for record in selection.records) == {"charcoal drawing": 4, "neon sign": 4}
    for record in selection.records:
        assert record.fields["prompt"] != record.fields["cond_prompt"]
        assert {record.fields["prompt"], record.fields["cond_prompt"]} <= set(CONTENTS)
        assert record.fields["style"] not in record.fields["prompt"]
    assert len({record.group for record in selection.records}) == 2, "a style lies in one split"


def test_both_pictures_are_drawn_and_said_how(source: Path) -> None:
    build_all(configure(source, source / "out", "source.licence_name=CC0-1.0"))
    samples = samples_in(source / "out" / "style")
    assert len(samples) == 8
    for sample in samples.values():
        said = sample["json"]
        assert not np.array_equal(np.asarray(sample["target.jpg"]), np.asarray(sample["cond.jpg"]))
        assert said["source"]["licence"] == {"name": "CC0-1.0", "url": ""}
        assert said["generation"]["style"] in ("charcoal drawing", "neon sign")
        assert said["generation"]["teacher"] == "text_sd15"
        assert len(set(said["generation"]["seeds"])) == 2
    card = (source / "out" / "style" / "card.md").read_text()
    assert "not the paper's way" in card
    assert "CC0-1.0" in card


@pytest.mark.slow  # workers are processes that import diffusers
def test_a_build_depends_on_the_words_alone(source: Path) -> None:
    for name, words in (("a", ()), ("b", ("executor.workers=2",))):
        build_all(configure(source, source / name, *words))
    assert digests(source / "a" / "style") == digests(source / "b" / "style")
    builder = create_builder(configure(source, source / "c"))
    records = builder.select().records[:3]
    together = list(builder.make_many(records))  # type: ignore[attr-defined]
    assert [builder.make(record) for record in records] == together


def test_sdxl_draws_too(source: Path, teachers: Path) -> None:
    config = configure(source, source / "out", *sdxl_text_overrides(teachers))
    builder = create_builder(config)
    sample = builder.make(builder.select().records[0])
    assert sample.generation is not None
    assert sample.generation["teacher"] == "text_sdxl"
    assert "text_encoder_2" in sample.generation["models"]


def test_a_picture_that_shows_nothing_drops_its_pair_alone(monkeypatch: pytest.MonkeyPatch, source: Path) -> None:
    config = configure(source, source / "out")

    class Generator:
        provenance: ClassVar[dict[str, Any]] = {}

        def generate(self, requests: list[Request]) -> list[Any]:
            assert len(requests) <= config.teacher.batch_size
            assert len(requests) % 2 == 0
            return [Drop("blank") if "neon" in one.prompt else Image.new("RGB", (64, 64), "navy") for one in requests]

    monkeypatch.setattr(batches, "generator_of", lambda _: Generator())
    builder = create_builder(config)
    records = builder.select().records
    results = list(builder.make_many(records))  # type: ignore[attr-defined]
    assert len(results) == len(records)
    for record, result in zip(records, results, strict=True):
        assert isinstance(result, Drop) == (record.fields["style"] == "neon sign")


def test_the_styles_that_come_along_are_sixty_and_fill_the_papers_number(source: Path) -> None:
    styles = read_styles(None)
    assert len(styles) == len(set(styles)) == 60
    words = ("task=worded_style", f"source.prompts={source}/contents.txt", "limit=21000", "dry_run=true")
    config = configured(source / "out", *words, "teacher=text_sdxl")
    assert plan_build(create_builder(config), config).selection.passed == 21000


def test_what_cannot_work_is_refused(source: Path) -> None:
    for words, message in (
        (("teacher.batch_size=3",), "must be even"),
        (("captioner=template",), "nothing to say here"),
    ):
        with pytest.raises(ConfigError, match=message):
            configure(source, source / "out", *words)
    (source / "contents.txt").write_text("a lonely house\n")
    with pytest.raises(DataError, match="two different ones"):
        create_builder(configure(source, source / "out")).select()
    (source / "styles.txt").write_text("\n")
    (source / "contents.txt").write_text("\n".join(CONTENTS))
    with pytest.raises(DataError, match=r"styles\.txt is empty"):
        create_builder(configure(source, source / "out")).select()
