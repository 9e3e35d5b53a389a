"""Copies from CommonCatalog: the photographs themselves, with their licences, whatever number of workers."""

from pathlib import Path

import pytest

from data_builders.engine.run import plan_build
from data_builders.publishing import refuse_forbidden, survey
from data_builders.registry import create_builder
from tests.helpers.building import build_all, command, configure, digests, samples_in
from tests.helpers.catalog_source import photograph, row, write_catalog_source, write_part
from tests.helpers.coco_source import jpeg
from tests.helpers.killing import killed_and_continued

WORDS = ("task=catalog_copy", "source.min_side=200")


def test_a_sample_is_the_middle_of_the_photograph_with_its_caption_and_author(tmp_path: Path) -> None:
    build_all(configure(write_catalog_source(tmp_path / "catalog", photos=4), tmp_path / "out", *WORDS))
    samples = samples_in(tmp_path / "out" / "copy")
    assert sorted(samples) == [f"flickr-{number}" for number in range(100, 104)]
    sample = samples["flickr-100"]
    assert "cond.jpg" not in sample
    assert sample["json"]["prompt"] == sample["json"]["cond_prompt"] == "photo number 100"
    assert sample["json"]["source"]["dataset"] == "commoncatalog"
    assert sample["json"]["source"]["licence"]["url"].startswith("http://creativecommons.org/licenses/by/")
    assert sample["json"]["generation"] is None
    assert set(sample["json"]["scores"]) == {"side", "visible"}


def test_both_tasks_take_the_same_rows(tmp_path: Path) -> None:
    source = write_catalog_source(tmp_path / "catalog", photos=6)
    plans = [
        plan_build(create_builder(config), config)
        for task in ("catalog_copy", "structure")
        for config in [configure(source, tmp_path / "out", f"task={task}", "dry_run=true")]
    ]
    copies, structures = ([record.key for record in plan.selection.records] for plan in plans)
    assert copies == structures


def test_unfit_photographs_are_counted_and_nothing_else_is_lost(tmp_path: Path) -> None:
    small = jpeg(photograph(1).resize((150, 150)))
    write_part(tmp_path / "catalog", [row(1, jpg=small), row(2, jpg=b"no picture"), row(3, jpg=None), row(4)])
    _, tally = build_all(configure(tmp_path / "catalog", tmp_path / "out", *WORDS))
    assert tally.drops == {"too_small": 1, "not_an_image": 1, "no_picture": 1}
    assert list(samples_in(tmp_path / "out" / "copy")) == ["flickr-4"]


def test_the_set_may_be_published_and_its_card_credits(tmp_path: Path) -> None:
    build_all(configure(write_catalog_source(tmp_path / "catalog", photos=4), tmp_path / "out", *WORDS))
    refuse_forbidden(survey(tmp_path / "out", ["copy"], []))
    assert "must credit" in (tmp_path / "out" / "copy" / "card.md").read_text()


@pytest.mark.slow
def test_killed_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    source = write_catalog_source(tmp_path / "catalog", photos=12)
    whole, killed = (tmp_path / name / "copy" for name in ("whole", "killed"))
    build_all(configure(source, whole.parent, *WORDS))
    words = command(source, killed.parent, *WORDS, "executor.workers=2")
    assert killed_and_continued(words, killed)[1] == digests(whole)
