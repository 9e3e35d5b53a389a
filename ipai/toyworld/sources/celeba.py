"""As CelebA lies on disk: aligned pictures of 178 x 218 px, and text files of identities, landmarks and attributes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ipai.toyworld.factors import (
    EXPRESSIONS,
    EYES,
    HAIR_COLOURS,
    HAIR_SHAPES,
    IDENTITY,
    SKINS,
    Portraits,
    draw_portraits,
)
from ipai.toyworld.layers import landmarks_of
from ipai.toyworld.render import render
from ipai.toyworld.sources.pictures import jpeg

WIDTH, HEIGHT = 178, 218
_EACH = 8  # pictures of a person, about
_CHUNK = 64
_POINTS = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
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


def write_celeba(folder: Path, samples: int, seed: int, _side: int) -> None:
    """Write `img_align_celeba` and the tables; the size of CelebA's pictures is its own."""
    pictures = folder / "img_align_celeba"
    pictures.mkdir(parents=True)
    persons = max(2, samples // _EACH)
    owner = np.random.Generator(np.random.Philox(key=[seed, 3])).integers(persons, size=samples)
    faces = _of_persons(draw_portraits(seed, 0, samples), draw_portraits(seed + 1, 0, persons), owner)
    names = [f"{number + 1:06d}.jpg" for number in range(samples)]
    left = (HEIGHT - WIDTH) // 2
    for start in range(0, samples, _CHUNK):
        rows = slice(start, start + _CHUNK)
        for name, picture in zip(names[rows], render(faces[rows], HEIGHT), strict=True):
            (pictures / name).write_bytes(jpeg(picture[:, left : left + WIDTH]))
    points = np.round(landmarks_of(faces) * HEIGHT - [left, 0]).astype(int).reshape(samples, -1)
    _write(folder / "identity_CelebA.txt", [], names, [[1 + int(person)] for person in owner])
    _write(folder / "list_eval_partition.txt", [], names, [[_partition(person, persons)] for person in owner])
    columns = [f"{point}_{axis}" for point in _POINTS for axis in "xy"]
    _write(folder / "list_landmarks_align_celeba.txt", columns, names, points.tolist())
    boxes = [[40, 30, 100, 150]] * (samples - 1) + [[320, 828, 0, 0]]  # the last is bad, as one of CelebA's is
    _write(folder / "list_bbox_celeba.txt", ["x_1", "y_1", "width", "height"], names, boxes)
    _write(
        folder / "list_attr_celeba.txt", list(ATTRIBUTES), names, [_attributes(faces, row) for row in range(samples)]
    )


def _of_persons(pictures: Portraits, persons: Portraits, owner: np.ndarray) -> Portraits:
    """Pictures that differ in all but the identity of their person."""
    return replace(pictures, **{name: getattr(persons, name)[owner] for name in IDENTITY})


def _partition(person: int, persons: int) -> int:
    """Four of five persons in train, the rest in val and test, as in CelebA by number."""
    share = person / persons
    return 0 if share < 0.8 else 1 if share < 0.9 else 2


def _attributes(faces: Portraits, row: int) -> list[int]:
    """1 where the toy face has it, else -1."""
    hair, shape = HAIR_COLOURS[faces.hair_colour[row]], HAIR_SHAPES[faces.hair_shape[row]]
    expression = EXPRESSIONS[faces.expression[row]]
    has = {
        "Bald": shape == "bald",
        "Black_Hair": hair == "black" and shape != "bald",
        "Blond_Hair": hair == "blond" and shape != "bald",
        "Gray_Hair": hair == "grey" and shape != "bald",
        "Wavy_Hair": shape == "curly",
        "Straight_Hair": shape == "long",
        "Eyeglasses": bool(faces.glasses[row]),
        "No_Beard": not faces.beard[row],
        "Male": bool(faces.beard[row]),  # what the face shows of it
        "Smiling": expression == "smiling",
        "Mouth_Slightly_Open": expression == "surprised",
        "Narrow_Eyes": EYES[faces.eyes[row]] == "narrow",
        "Pale_Skin": SKINS[faces.skin[row]] == "pale",
        "Young": hair != "grey",
    }
    return [1 if has.get(name) else -1 for name in ATTRIBUTES]


def _write(path: Path, columns: Sequence[str], names: Sequence[str], rows: Sequence[Sequence[int]]) -> None:
    """One line a picture; two lines before them, the count and the columns, where there are names of columns."""
    head = [str(len(names)), " ".join(columns)] if columns else []
    lines = [f"{name} " + " ".join(str(value) for value in row) for name, row in zip(names, rows, strict=True)]
    path.write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")
