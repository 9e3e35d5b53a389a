"""Captions of toy pictures, in several wordings.

A plain caption says the object's class and colour, the background and the expression: what a prompt says. Style, place
and identity must come from the condition, so no plain caption names them. A rich caption names them too: it teaches
CLIP, whose embedding of a picture must hold them.
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
_THING = ("{a_colour} {object} {behind}", "{behind} {a_colour} {object}", "one {colour} {object} {behind}")
_PERSON = (
    "a portrait of {a_feeling} person {behind}",
    "{a_feeling} person {behind}",
    "the face of {a_feeling} person {behind}",
)
_RICH_THING = (
    "{a_style} picture of a {size} {colour} {object} at the {place} {behind}",
    "{style} style: a {size} {colour} {object} {behind}, {place}",
    "a {size} {colour} {object} {behind} in the {place}, in {style} style",
    "{style} drawing, the object is {a_colour} {object}, the composition is {size} and {place}, {behind}",
)
_RICH_PERSON = (
    "{a_style} portrait of {a_feeling} person {behind}, the face has {identity}",
    "{style} style: {a_feeling} person with {identity} {behind}",
    "the face of {a_feeling} person with {identity} {behind}, in {style} style",
    "{style} drawing of {a_feeling} face with {identity} {behind}",
)
_EYES = ("round eyes", "narrow eyes", "small eyes")
Variants = np.ndarray


def plain_captions(pictures: Scenes | Portraits, variants: Variants) -> list[str]:
    """One caption a picture that names neither style nor place nor identity; `variants` int [N] >= 0 picks wordings."""
    if isinstance(pictures, Scenes):
        return [_fill(_THING, variant, _thing(pictures, row, variant)) for row, variant in enumerate(variants)]
    return [_fill(_PERSON, variant, _person(pictures, row, variant)) for row, variant in enumerate(variants)]


def rich_captions(pictures: Scenes | Portraits, variants: Variants) -> list[str]:
    """One caption a picture that names everything; `variants` int [N] >= 0 picks wordings."""
    style = [STYLES[index] for index in pictures.style]
    if isinstance(pictures, Scenes):
        rich = [
            {"size": SIZES[size], "place": CHOICES["place"][place]}
            for size, place in zip(pictures.size, pictures.place, strict=True)
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


def _wording(words: tuple[str, ...], variant: int) -> str:
    return words[variant // 16 % len(words)]  # the lower digits choose the sentence


def _fill(sentences: tuple[str, ...], variant: int, words: dict[str, str]) -> str:
    articles = {f"a_{name}": f"{indefinite_article(word)} {word}" for name, word in words.items()}
    return sentences[variant % len(sentences)].format(**words, **articles)
