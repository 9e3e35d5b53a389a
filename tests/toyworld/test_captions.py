"""What captions say, and what they must not say."""

import re

import numpy as np
import pytest

from ipai.toyworld.captions import BEHIND, FEELING, identity_words, plain_captions, rich_captions
from ipai.toyworld.factors import (
    BACKGROUNDS,
    CHOICES,
    COLOURS,
    EXPRESSIONS,
    OBJECTS,
    SIZES,
    STYLES,
    draw_portraits,
    draw_scenes,
)

COUNT = 300
VARIANTS = np.arange(COUNT)
SCENES, PORTRAITS = draw_scenes(1, 0, COUNT), draw_portraits(1, 0, COUNT)
_HIDDEN = {
    *STYLES,
    *SIZES,
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
def test_plain_captions_never_name_style_place_or_identity(pictures: object) -> None:
    for caption in plain_captions(pictures, VARIANTS):  # type: ignore[arg-type]
        assert not words(caption) & _HIDDEN


def test_plain_captions_name_object_colour_background_and_expression() -> None:
    for row, caption in enumerate(plain_captions(SCENES, VARIANTS)):
        assert {OBJECTS[SCENES.object[row]], COLOURS[SCENES.colour[row]]} <= words(caption)
        assert any(wording in caption for wording in BEHIND[BACKGROUNDS[SCENES.background[row]]])
    for row, caption in enumerate(plain_captions(PORTRAITS, VARIANTS)):
        assert set(FEELING[EXPRESSIONS[PORTRAITS.expression[row]]]) & words(caption)


def test_rich_captions_name_everything() -> None:
    for row, caption in enumerate(rich_captions(SCENES, VARIANTS)):
        assert {STYLES[SCENES.style[row]], OBJECTS[SCENES.object[row]], COLOURS[SCENES.colour[row]]} <= words(caption)
        assert CHOICES["place"][SCENES.place[row]] in caption
    for row, caption in enumerate(rich_captions(PORTRAITS, VARIANTS)):
        assert STYLES[PORTRAITS.style[row]] in caption
        assert identity_words(PORTRAITS, row) in caption


def test_wordings_differ_and_articles_fit() -> None:
    captions = [plain_captions(SCENES[:1], np.array([variant]))[0] for variant in range(48)]
    assert len(set(captions)) == 9  # three sentences, three backgrounds
    everything = plain_captions(SCENES, VARIANTS) + rich_captions(PORTRAITS, VARIANTS)
    assert not [caption for caption in everything if re.search(r"\ba [aeio]|\ba unh|\ban [^aeiou]", caption)]
