"""Filling the slot: articles, names that are none, and laws over any name."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipai.errors import InstructionError
from ipai.instructions.slots import MAX_NAME_LENGTH, fill_slot, indefinite_article

NAMES = st.text(st.characters(categories=["L", "N", "P", "Zs"], exclude_characters="{}"), min_size=1).map(
    lambda text: text.strip()[:MAX_NAME_LENGTH].strip()
).filter(bool)  # fmt: skip
PLAIN = st.text(st.characters(exclude_characters="{}"))


AN = (
    "apple|orange|umbrella|elephant|oven|hour|hourglass|heirloom|honest look|8-ball|11th hour|18 wheeler|80s car|x-ray|"
    "X-ray|SUV|LED lamp|HDTV|MP3 player|uninteresting thing|unidentified thing|urn|usher|onion|écran|über|Owl|'odd' one"
)
A = (
    "zebra|hot dog|unicorn|uniform|unicycle|ukulele|utensil|used car|urinal|ewer|euphonium|eucalyptus|one-way sign|TV|"
    "t-shirt|UFO|USB stick|1-litre jug|100-year egg|110 volt lamp|NASA rocket|hat|horse|yacht|onesie|'quoted' word"
)


@pytest.mark.parametrize(
    ("article", "name"), [("an", name) for name in AN.split("|")] + [("a", name) for name in A.split("|")]
)
def test_the_article_follows_the_sound(article: str, name: str) -> None:
    assert indefinite_article(name) == article


@pytest.mark.parametrize(
    ("template", "name", "filled"),
    [
        ("use the {object}", "zebra", "use the zebra"),
        ("A {object} like this.", "apple", "An apple like this."),
        ("Include an {object}.", "hot dog", "Include a hot dog."),
        ("AN {object}", "cat", "A cat"),
        ("A  {object}", "owl", "An  owl"),
        ("use a banana {object}", "apple", "use a banana apple"),
        ("a new {object}", "apple", "a new apple"),
        ("{object}, only the {object}", " fire hydrant ", "fire hydrant, only the fire hydrant"),
        ("a {object} and an {object}", r"\1 \g<0>", r"a \1 \g<0> and a \1 \g<0>"),
    ],
)
def test_filled(template: str, name: str, filled: str) -> None:
    assert fill_slot(template, name) == filled


@given(PLAIN, st.none() | st.text())
def test_a_template_without_a_slot_stays_as_it_is(template: str, name: str | None) -> None:
    assert fill_slot(template, name) == template


@given(PLAIN, PLAIN, NAMES)
def test_only_the_slot_and_its_article_change(before: str, after: str, name: str) -> None:
    filled = fill_slot(f"{before} the {{object}}{after}", name)
    assert filled == f"{before} the {name}{after}"


@given(NAMES, st.sampled_from(["a", "an", "A", "An"]))
def test_the_article_is_right_whichever_was_written(name: str, article: str) -> None:
    written, rest = fill_slot(f"{article} {{object}}", name).split(" ", 1)
    assert rest == name
    assert written.lower() == indefinite_article(name)
    assert written[0].isupper() == article[0].isupper()


def test_a_missing_name_is_refused_with_what_to_do() -> None:
    with pytest.raises(InstructionError, match=r"'use the \{object\}' needs the name.*\"slot\""):
        fill_slot("use the {object}", None)


@pytest.mark.parametrize(
    "template", ["use the {thing}", "use {Object}", "use {", "use }{", "{object} {}", "{{object}}"]
)
def test_an_unknown_placeholder_is_refused(template: str) -> None:
    with pytest.raises(InstructionError, match=r"unknown placeholder '.*'.*\{object\}"):
        fill_slot(template, "cat")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "  ",
        "a{b}",
        "{object}",
        "two\nlines",
        "tab\tbed",
        "nul\x00",
        "esc\x1b[31m",
        "sep\u2028",
        "bidi\u202e",
        "x" * 101,
    ],
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InstructionError, match="name of an object"):
        fill_slot("the {object}", name)


@given(st.text(), PLAIN)
def test_no_name_can_bring_in_a_slot_or_a_line(name: str, plain: str) -> None:
    try:
        filled = fill_slot("use a {object}", name)
    except InstructionError:
        return
    assert re.fullmatch(r"use an? [^{}\n\r]+", filled)
    assert fill_slot(filled, plain) == filled
