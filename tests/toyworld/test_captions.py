"""What captions say, and what they must not say."""

import re

import numpy as np
import pytest

from ipai.toyworld.captions import (
    BEHIND,
    FEELING,
    MARKED,
    VARIANTS,
    WITHOUT_COLOUR,
    WORDINGS,
    identity_words,
    plain_captions,
    rich_captions,
)
from ipai.toyworld.factors import (
    BACKGROUNDS,
    CHOICES,
    COLOURS,
    MARKS,
    OBJECTS,
    SIZES,
    STYLES,
    draw_portraits,
    draw_scenes,
)

COUNT = 300
VARIANTS_OF_ALL = np.arange(COUNT) % VARIANTS
TELLING = np.arange(COUNT) % WORDINGS
SCENES, PORTRAITS = draw_scenes(1, 0, COUNT), draw_portraits(1, 0, COUNT)
_HIDDEN = {
    *STYLES,
    *SIZES,
    *MARKED.values(),
    *CHOICES["place"],
    "left",
    "right",
    "top",
    "bottom",
    "centre",
    "skin",
    "hair",
    "glasses",
    "beard",
}


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text))


@pytest.mark.parametrize("pictures", [SCENES, PORTRAITS], ids=["scenes", "portraits"])
def test_plain_captions_never_name_style_place_mark_identity_or_expression(pictures: object) -> None:
    feelings = {word for wordings in FEELING.values() for word in wordings}
    for caption in plain_captions(pictures, VARIANTS_OF_ALL):  # type: ignore[arg-type]
        assert not words(caption) & (_HIDDEN | feelings)


def test_plain_captions_name_object_colour_and_background() -> None:
    for row, caption in enumerate(plain_captions(SCENES, TELLING)):
        assert {OBJECTS[SCENES.object[row]], COLOURS[SCENES.colour[row]]} <= words(caption)
        assert any(wording in caption for wording in BEHIND[BACKGROUNDS[SCENES.background[row]]])
    for row, caption in enumerate(plain_captions(PORTRAITS, TELLING)):
        assert any(wording in caption for wording in BEHIND[BACKGROUNDS[PORTRAITS.background[row]]])


def test_a_caption_without_colour_says_the_same_but_for_the_colour() -> None:
    for row, (short, whole) in enumerate(
        zip(plain_captions(SCENES, TELLING + WITHOUT_COLOUR), plain_captions(SCENES, TELLING), strict=True)
    ):
        assert not any(f"{colour} {OBJECTS[SCENES.object[row]]}" in short for colour in COLOURS)
        assert OBJECTS[SCENES.object[row]] in words(short)
        assert words(whole) - words(short) <= {COLOURS[SCENES.colour[row]], "an", "a"}


def test_what_is_left_unsaid_differs_from_variant_to_variant() -> None:
    said = [plain_captions(SCENES[:1], np.array([variant]))[0] for variant in range(0, VARIANTS, WORDINGS)]
    assert len(set(said)) == len(said)
    assert len(min(said, key=len).split()) == 2  # an article and the object


def test_rich_captions_name_everything() -> None:
    for row, caption in enumerate(rich_captions(SCENES, TELLING)):
        assert {STYLES[SCENES.style[row]], OBJECTS[SCENES.object[row]], COLOURS[SCENES.colour[row]]} <= words(caption)
        assert CHOICES["place"][SCENES.place[row]] in caption
        assert MARKED[MARKS[SCENES.mark[row]]] in words(caption)
    for row, caption in enumerate(rich_captions(PORTRAITS, TELLING)):
        assert STYLES[PORTRAITS.style[row]] in caption
        assert identity_words(PORTRAITS, row) in caption


def test_wordings_differ_and_articles_fit() -> None:
    captions = [plain_captions(SCENES[:1], np.array([variant]))[0] for variant in range(48)]
    assert len(set(captions)) == 9  # three sentences, three backgrounds
    everything = plain_captions(SCENES, VARIANTS_OF_ALL) + rich_captions(PORTRAITS, TELLING)
    assert not [caption for caption in everything if re.search(r"\ba [aeio]|\ba unh|\ban [^aeiou]", caption)]
