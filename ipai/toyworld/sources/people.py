"""Who is on CelebA's pictures: how many each person has, who looks how, and which attributes a face shows."""

import numpy as np

from ipai.toyworld.factors import (
    CHOICES,
    EXPRESSIONS,
    EYES,
    HAIR_COLOURS,
    HAIR_SHAPES,
    IDENTITY,
    SKINS,
    Portraits,
)
from ipai.toyworld.sources.source_files import choices, shuffled

FEWEST, MOST = 2, 30  # pictures of a person
_MEAN = 8
_MOST_PEOPLE = 1_700  # with a margin below the looks that can be told from each other
# fmt: off
ATTRIBUTES = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose",
    "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses",
    "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache", "Narrow_Eyes",
    "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks", "Sideburns", "Smiling",
    "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick", "Wearing_Necklace",
    "Wearing_Necktie", "Young",
)
# fmt: on


def pictures_each(samples: int, seed: int) -> np.ndarray:
    """How many pictures each person has, `FEWEST` to `MOST`, mostly few; they sum up to `samples`."""
    mean = max(_MEAN, samples / _MOST_PEOPLE)
    # A power of a number in 0..1 has the mean 1 / (power + 1); rounding down takes a half off.
    power = (MOST - FEWEST + 1) / (mean - FEWEST + 0.5) - 1
    (draws,) = choices(seed, samples, 1)
    wanted = (FEWEST + (MOST - FEWEST + 1) * draws**power).astype(int).tolist()
    counts: list[int] = []
    left = samples
    while left:
        count = min(wanted[len(counts)], left)
        if left - count == 1:  # nobody has one picture only
            count += 1 if count < MOST else -1
        counts.append(count)
        left -= count
    return np.array(counts)


def looks_of(people: int, seed: int) -> dict[str, np.ndarray]:
    """The factors of so many identities, int [people] each, of which no two look the same."""
    sizes = [len(CHOICES[name]) for name in IDENTITY]
    every = dict(zip(IDENTITY, np.unravel_index(np.arange(np.prod(sizes)), sizes), strict=True))
    bald = every["hair_shape"] == HAIR_SHAPES.index("bald")
    hairless = bald & (every["beard"] == 0)
    different = np.flatnonzero(~hairless | (every["hair_colour"] == 0))
    chosen = different[shuffled(seed, len(different))[:people]]
    assert len(chosen) == people
    return {name: values[chosen] for name, values in every.items()}


def attributes_of(faces: Portraits) -> np.ndarray:
    """1 for each of `ATTRIBUTES` that a face has, -1 for the others, int [N, 40].

    A beard counts as `Male`, because that is how CelebA's attributes tell of one.
    """
    hair = faces.hair_shape != HAIR_SHAPES.index("bald")
    has = {
        "Bald": ~hair,
        "Black_Hair": hair & (faces.hair_colour == HAIR_COLOURS.index("black")),
        "Blond_Hair": hair & (faces.hair_colour == HAIR_COLOURS.index("blond")),
        "Gray_Hair": hair & (faces.hair_colour == HAIR_COLOURS.index("grey")),
        "Wavy_Hair": faces.hair_shape == HAIR_SHAPES.index("curly"),
        "Straight_Hair": np.isin(faces.hair_shape, [HAIR_SHAPES.index("short"), HAIR_SHAPES.index("long")]),
        "Eyeglasses": faces.glasses == 1,
        "No_Beard": faces.beard == 0,
        "Male": faces.beard == 1,
        "Smiling": faces.expression == EXPRESSIONS.index("smiling"),
        "Mouth_Slightly_Open": faces.expression == EXPRESSIONS.index("surprised"),
        "Narrow_Eyes": faces.eyes == EYES.index("narrow"),
        "Pale_Skin": faces.skin == SKINS.index("pale"),
    }
    nobody = np.zeros(len(faces), bool)
    return np.where(np.stack([has.get(name, nobody) for name in ATTRIBUTES], axis=1), 1, -1)
