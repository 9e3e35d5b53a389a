"""Captions of toy pictures, in several wordings.

A plain caption says the object's class and colour and the background: what a prompt says. Style, place, mark, identity
and expression must come from the condition, so no plain caption names them. A rich caption names them too: it teaches
CLIP, whose embedding of a picture must hold them.

A variant is a number below `VARIANTS`: its parts choose the sentence, the wording, and what is left unsaid.
"""

import numpy as np

from ipai.instructions.slots import indefinite_article
from ipai.toyworld.factors import (
    BACKGROUNDS,
    CHOICES,
    COLOURS,
    EXPRESSIONS,
    HAIR_COLOURS,
    HAIR_SHAPES,
    MARKS,
    OBJECTS,
    SIZES,
    SKINS,
    STYLES,
    Portraits,
    Scenes,
)

BEHIND = {
    "sky": ("in front of the sky", "with a blue sky behind", "against the sky"),
    "sand": ("on the sand", "on a sandy beach", "against sand"),
    "night": ("at night", "in the dark of the night", "under a night sky"),
    "meadow": ("on a green meadow", "in a meadow", "in front of a meadow"),
    "stone": ("on grey stone", "in front of a stone wall", "against stone"),
    "wood": ("on brown wood", "in front of a wooden wall", "on a wooden table"),
    "snow": ("in the snow", "on white snow", "in front of snow"),
    "lavender": ("in a lavender field", "on lavender", "in front of lavender"),
}
FEELING = {
    "neutral": ("calm", "neutral", "quiet"),
    "smiling": ("smiling", "happy", "laughing"),
    "frowning": ("frowning", "sad", "unhappy"),
    "surprised": ("surprised", "astonished", "shouting"),
}
MARKED = dict(zip(MARKS, ("plain", "halved", "capped", "banded", "striped", "quartered"), strict=True))
_THING = ("{a_thing} {behind}", "{behind} {a_thing}", "one {thing} {behind}")
_PERSON = ("a portrait of a person {behind}", "a person {behind}", "the face of a person {behind}")
_RICH_THING = (
    "{a_style} picture of a {size} {colour} {mark} {object} at the {place} {behind}",
    "{style} style: a {size} {mark} {colour} {object} {behind}, {place}",
    "a {size} {colour} {object} {behind} in the {place}, {mark}, in {style} style",
    "{style} drawing, the object is {a_mark} {colour} {object}, the composition is {size} and {place}, {behind}",
)
_RICH_PERSON = (
    "{a_style} portrait of {a_feeling} person {behind}, the face has {identity}",
    "{style} style: {a_feeling} person with {identity} {behind}",
    "the face of {a_feeling} person with {identity} {behind}, in {style} style",
    "{style} drawing of {a_feeling} face with {identity} {behind}",
)
_EYES = ("round eyes", "narrow eyes", "small eyes")
# What a plain caption may leave unsaid, so that a base that learned from them all takes a prompt that says less.
_UNSAID = ((), ("colour",), ("behind",), ("colour", "behind"))
WORDINGS = 48
"""Variants below this say everything."""
WITHOUT_COLOUR = WORDINGS
"""Added to a variant below `WORDINGS`, the same words without the object's colour."""
VARIANTS = WORDINGS * len(_UNSAID)
Variants = np.ndarray


def plain_captions(pictures: Scenes | Portraits, variants: Variants) -> list[str]:
    """One caption a picture that names neither style nor place, mark nor identity.

    Args:
        pictures: N of them.
        variants: Which wordings, and what is left unsaid, int [N] in 0..VARIANTS-1.
    """
    if isinstance(pictures, Scenes):
        return [_said(_THING, variant, _thing(pictures, row, variant)) for row, variant in enumerate(variants)]
    return [_said(_PERSON, variant, _person(pictures, row, variant)) for row, variant in enumerate(variants)]


def rich_captions(pictures: Scenes | Portraits, variants: Variants) -> list[str]:
    """One caption a picture that names everything; `variants` int [N] >= 0 picks wordings."""
    style = [STYLES[index] for index in pictures.style]
    if isinstance(pictures, Scenes):
        rich = [
            {"size": SIZES[size], "place": CHOICES["place"][place], "mark": MARKED[MARKS[mark]]}
            for size, place, mark in zip(pictures.size, pictures.place, pictures.mark, strict=True)
        ]
        return [
            _fill(_RICH_THING, variant, _thing(pictures, row, variant) | rich[row] | {"style": style[row]})
            for row, variant in enumerate(variants)
        ]
    return [
        _fill(
            _RICH_PERSON,
            variant,
            _person(pictures, row, variant) | {"style": style[row], "identity": identity_words(pictures, row)},
        )
        for row, variant in enumerate(variants)
    ]


def identity_words(portraits: Portraits, row: int) -> str:
    """The identity in words, without an article: `dark skin, curly blue hair, round eyes, glasses, a beard`."""
    shape = HAIR_SHAPES[portraits.hair_shape[row]]
    words = [f"{SKINS[portraits.skin[row]]} skin"]
    words.append("no hair" if shape == "bald" else f"{shape} {HAIR_COLOURS[portraits.hair_colour[row]]} hair")
    words.append(_EYES[portraits.eyes[row]])
    words += ["glasses"] if portraits.glasses[row] else []
    words += [f"a {HAIR_COLOURS[portraits.hair_colour[row]]} beard"] if portraits.beard[row] else []
    return ", ".join(words)


def _thing(scenes: Scenes, row: int, variant: int) -> dict[str, str]:
    return {
        "object": OBJECTS[scenes.object[row]],
        "colour": COLOURS[scenes.colour[row]],
        "behind": _wording(BEHIND[BACKGROUNDS[scenes.background[row]]], variant),
    }


def _person(portraits: Portraits, row: int, variant: int) -> dict[str, str]:
    return {
        "feeling": _wording(FEELING[EXPRESSIONS[portraits.expression[row]]], variant),
        "behind": _wording(BEHIND[BACKGROUNDS[portraits.background[row]]], variant),
    }


def _said(sentences: tuple[str, ...], variant: int, words: dict[str, str]) -> str:
    unsaid = _UNSAID[variant // WORDINGS % len(_UNSAID)]
    words = words | dict.fromkeys(unsaid, "")
    words["thing"] = f"{words.get('colour', '')} {words.get('object', '')}".strip()
    return " ".join(_fill(sentences, variant, words).split())


def _wording(words: tuple[str, ...], variant: int) -> str:
    return words[variant % WORDINGS // 16 % len(words)]  # the lower digits choose the sentence


def _fill(sentences: tuple[str, ...], variant: int, words: dict[str, str]) -> str:
    articles = {f"a_{name}": f"{indefinite_article(word)} {word}" for name, word in words.items() if word}
    return sentences[variant % WORDINGS % len(sentences)].format(**words, **articles)
