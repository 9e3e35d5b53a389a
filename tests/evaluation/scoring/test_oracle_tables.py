"""The oracles' tables on pictures whose factors are known: renders in place of an adapter's answers."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from ipai.evaluation.reporting.table import oracle_lines
from ipai.evaluation.sampling.image_shards import Part, parts_of, write_part
from ipai.evaluation.scoring.oracle_tables import OracleQuestions, oracle_report, oracle_sources
from ipai.toyworld.oracles import load_oracles
from ipai.toyworld.render import render

COUNT = 40
TEMPLATES = {"style": ("use the style",), "object": ("use the {object}",), "face": ("use the face",)}


def answered(folder: Path, task: str, kind: str, take: tuple[str, ...]) -> list[Part]:
    """Parts with what an adapter would draw that takes exactly these factors from the condition."""
    source = OracleQuestions(kind, task, TEMPLATES[task], COUNT, seed=0)
    asked = source.asked
    taken = replace(asked.wanted, **{name: getattr(asked.conditions, name) for name in take})
    pictures = [Image.fromarray(pixels) for pixels in render(taken, 64)]
    parts = parts_of(folder, [source], COUNT)
    write_part(parts[0], pictures)
    return parts


def test_what_was_taken_leaked_and_followed_is_told_apart(tmp_path: Path) -> None:
    oracles = load_oracles()
    parts = answered(tmp_path, "style", "scenes", ("style", "place"))
    table = oracle_report(parts, oracles)["tables"]["scenes"]["style"]
    assert [name for name, of in table.items() if of["asked"]] == ["style"]
    taken = {name: of["taken"]["mean"] for name, of in table.items()}
    assert min(taken["style"], taken["place"]) > 0.9
    assert max(taken["object"], taken["colour"], taken["background"], taken["size"]) < 0.1
    assert min(table[name]["followed"]["mean"] for name in ("object", "colour", "background")) > 0.9
    assert 25 < table["style"]["taken"]["n"] < COUNT  # pairs that agree anyway are not counted
    assert "followed" not in table["place"]


def test_a_prompt_that_lost_is_not_followed(tmp_path: Path) -> None:
    parts = answered(tmp_path, "object", "scenes", ("mark", "colour", "background"))
    table = oracle_report(parts, load_oracles())["tables"]["scenes"]["object"]
    assert min(table["mark"]["taken"]["mean"], table["background"]["taken"]["mean"]) > 0.9
    assert table["background"]["followed"]["mean"] < 0.1


def test_the_objects_prompt_names_its_class_and_no_colour(tmp_path: Path) -> None:
    parts = answered(tmp_path, "object", "scenes", ())
    table = oracle_report(parts, load_oracles())["tables"]["scenes"]["object"]
    assert table["object"]["taken"] is None, "the prompt's class is the condition's"
    assert [name for name, of in table.items() if "followed" in of] == ["object", "background"]


def test_factors_that_the_oracle_reads_badly_are_not_scored_and_named(tmp_path: Path) -> None:
    oracles = load_oracles()
    parts = answered(tmp_path, "face", "portraits", ())
    report = oracle_report(parts, oracles)
    bad = [name for name, value in oracles["portraits"].accuracy.items() if value <= 0.97]
    assert report["not_scored"]["portraits"] == sorted(bad)
    assert not set(bad) & set(report["tables"]["portraits"]["face"])
    text = "\n".join(oracle_lines(report))
    heads, chances = (
        [cell.strip() for cell in next(line for line in text.splitlines() if line.startswith(start)).split("|")]
        for start in ("| portraits", "| *by chance*")
    )
    chance = dict(zip(heads, chances, strict=True))
    assert (chance["background"], chance["beard"], chance["style"]) == ("", "50", "12")  # the prompt names the first
    assert all(f"{name} ({100 * oracles['portraits'].accuracy[name]:.1f} %)" in text for name in bad)
    lowered = {
        **oracles,
        "portraits": replace(oracles["portraits"], accuracy={**oracles["portraits"].accuracy, "skin": 0.97}),
    }
    assert "skin" in oracle_report(parts, lowered)["not_scored"]["portraits"]


def test_questions_name_the_object_and_share_their_noise() -> None:
    sources = oracle_sources(["style", "object"], TEMPLATES, 5, seed=0)
    assert [source.name for source in sources] == [
        "oracle-scenes-style", "oracle-scenes-object", "oracle-portraits-style",
    ]  # fmt: skip
    style, objects = sources[0].questions, sources[1].questions
    assert [one.seed for one in style] == [one.seed for one in objects]
    assert len({one.seed for one in style}) == 5
    assert all("{" not in one.instruction for one in objects)
    assert len({one.instruction for one in objects}) > 1
    assert sources[0].condition(style[0]).size == (64, 64)
    assert pytest.approx(0) != sum(sources[0].condition(style[0]).histogram())
