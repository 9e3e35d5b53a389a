import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_builders.celeba.captions import describe
from tests.helpers.celeba_source import ATTRIBUTES

CASES = {
    "nothing": (set(), "a photo of a woman"),
    "a man without a beard": ({"Male", "No_Beard"}, "a photo of a man"),
    "a beard is what is not denied": ({"Male"}, "a photo of a man with a beard"),
    "kinds of beard": ({"Male", "Goatee", "5_o_Clock_Shadow"}, "a photo of a man with a goatee and stubble"),
    "a denied beard": ({"Male", "No_Beard", "Goatee"}, "a photo of a man"),
    "no beard is not told of a woman": ({"Mustache"}, "a photo of a woman"),
    "hair": ({"No_Beard", "Young", "Wavy_Hair", "Brown_Hair"}, "a photo of a young woman with wavy brown hair"),
    "two colours": ({"Black_Hair", "Brown_Hair", "Bangs"}, "a photo of a woman with bangs"),
    "two textures": ({"Straight_Hair", "Wavy_Hair", "Gray_Hair"}, "a photo of a woman with gray hair"),
    "bald": ({"Male", "No_Beard", "Bald"}, "a photo of a bald man"),
    "bald with hair": ({"Male", "No_Beard", "Bald", "Black_Hair"}, "a photo of a man"),
    "bald with two colours": ({"Male", "No_Beard", "Bald", "Black_Hair", "Gray_Hair"}, "a photo of a man"),
    "bangs and a receding hairline": ({"Bangs", "Receding_Hairline"}, "a photo of a woman"),
    "mood": ({"Smiling", "Mouth_Slightly_Open"}, "a photo of a woman smiling with the mouth slightly open"),
    "worn": (
        {"Eyeglasses", "Wearing_Hat", "Wearing_Lipstick"},
        "a photo of a woman wearing glasses, lipstick and a hat",
    ),
    "blurry": ({"Blurry"}, "a blurry photo of a woman"),
    "the shape of the face and opinions": ({"Big_Nose", "Attractive", "Chubby", "Pale_Skin"}, "a photo of a woman"),
    "unknown": ({"Constructed"}, "a photo of a woman"),
}


@pytest.mark.parametrize(("attributes", "expected"), CASES.values(), ids=CASES)
def test_sentences(attributes: set[str], expected: str) -> None:
    assert describe(attributes, wording=0) == expected


def test_wordings_say_the_same_differently() -> None:
    attributes = {"Young", "Blond_Hair", "Smiling", "Wearing_Hat", "Eyeglasses"}
    assert [describe(attributes, wording) for wording in range(3)] == [
        "a photo of a young woman with blond hair, smiling, wearing glasses and a hat",
        "a portrait of a young woman wearing glasses and a hat, with blond hair, smiling",
        "a picture showing a young woman smiling, wearing glasses and a hat, with blond hair",
    ]
    assert describe(attributes, 3) == describe(attributes, 0)
    assert describe(attributes, 0, close_up=True) == (
        "a close-up photo of a young woman with blond hair, smiling, wearing glasses"
    )


@given(st.sets(st.sampled_from(ATTRIBUTES)), st.integers(0, 255), st.booleans())
def test_no_sentence_contradicts_itself(attributes: set[str], wording: int, close_up: bool) -> None:
    text = describe(attributes, wording, close_up)
    assert ("woman" in text) == ("Male" not in attributes)
    assert not ("bald" in text and "hair," in f"{text},")
    assert not any(word in text for word in ("beard", "goatee", "mustache", "stubble")) or "woman" not in text
    colours = re.findall(r"\b(black|blond|brown|gray)\b", text)
    assert len(colours) <= 1
    assert not re.search(r"  |,,|, ,| ,|,$", text)


def test_every_pair_of_attributes_gives_a_sentence() -> None:
    for two in itertools.combinations(ATTRIBUTES, 2):
        assert describe(set(two), 1).startswith("a ")
