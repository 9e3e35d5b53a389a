"""Which captions are accepted, as a table."""

import pytest

from data_builders.captions.checks import caption_fault, is_refusal

GOOD = [
    "a dog jumps over a fence in a green field",
    "A brown dog jumps over a fence.",
    "two people in front of a large painting of a ship",
    "a photo of a cat on a windowsill",
    "An image hangs on the wall behind a woman",
    "A portrait of a man in front of a scene of a battle",
    "a man holding a sign that says “sorry”",
    "une femme élégante près d'un café",
    "a woman in a T-shirt and an Asian man",
]
BAD = {
    "": "fewer than 3 words",
    "a dog": "fewer than 3 words",
    "a dog " * 6: "more than 10 words",
    "a " + "x" * 2000 + " b": "more than 10 words",
    "a dog in a field\na cat in a tree": "more than one line",
    "a dog\x00in a field": "control characters",
    "a dog \u202e in a field": "control characters",
    "a dog \ufffd in a field": "control characters",
    "a dog <b>in</b> a field": "control characters",
    "a {object} in a field": "control characters",
    "```a dog in a field```": "control characters",
    "The image shows a dog in a field": "speaks of",
    "This photo depicts a dog": "speaks of",
    "the black-and-white photograph features a dog": "speaks of",
    "Caption: a dog in a field": "speaks of",
    "a dog in the image runs": "speaks of",
    "Here is a photo that has a dog": "speaks of",
}


@pytest.mark.parametrize("text", GOOD)
def test_good_captions(text: str) -> None:
    assert caption_fault(text, 20, nameless=False) is None


@pytest.mark.parametrize("text", BAD)
def test_bad_captions(text: str) -> None:
    fault = caption_fault(text, 10, nameless=False)
    assert fault is not None
    assert BAD[text] in fault


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a woman with brown hair smiles", False),
        ("A man with an Asian haircut and a T-shirt", False),
        ("a man who looks like Barack Obama", True),
        ("Madonna sings on a stage", True),
        ("A Taylor Swift lookalike smiles", True),
        ("a woman, Éloïse, smiles at someone", True),
        ("a man with Newton's hair smiles", True),
    ],
)
def test_names_of_people_are_refused_in_portraits_only(text: str, named: bool) -> None:
    assert (caption_fault(text, 20, nameless=True) is not None) is named
    assert caption_fault(text, 20, nameless=False) is None


@pytest.mark.parametrize(
    ("text", "refuses"),
    [
        ("I'm sorry, but I can't help with identifying people.", True),
        ("I’m sorry, I can’t assist with that.", True),  # noqa: RUF001
        ("Sorry, I cannot describe this.", True),
        ("I can't describe people.", True),
        ("As an AI, I do not look at faces", True),
        ("Unable to comply.", True),
        ("a sorry looking dog", False),
        ("a man whose shirt says I can't", False),
        ("I beam with steel rivets", False),
    ],
)
def test_refusals_in_prose(text: str, refuses: bool) -> None:
    assert is_refusal(text) is refuses
