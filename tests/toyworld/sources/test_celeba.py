"""CelebA's form: persons, their pictures, and tables that are true of them."""

from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_builders.celeba.tables import read_table
from ipai.toyworld.factors import HAIR_COLOURS, HAIR_SHAPES, draw_portraits
from ipai.toyworld.render import render
from ipai.toyworld.sources.people import ATTRIBUTES, FEWEST, MOST, attributes_of, looks_of, pictures_each
from tests.toyworld.sources.conftest import SAMPLES


@pytest.mark.parametrize("samples", [10, 11, 61, 2000, 9_999, 40_000])
def test_everybody_has_a_few_pictures_and_none_is_left_over(samples: int) -> None:
    for seed in range(5):
        counts = pictures_each(samples, seed)
        assert counts.sum() == samples
        assert FEWEST <= counts.min() <= counts.max() <= MOST
        assert len(looks_of(len(counts), seed)["skin"]) == len(counts)
    if samples == 2000:
        assert 200 <= len(counts) <= 300


def test_no_two_persons_look_the_same() -> None:
    looks = looks_of(1_920, 0)
    alike = replace(
        draw_portraits(0, 0, 1)[np.zeros(1_920, int)],
        **looks,
        style=np.zeros(1_920, int),
        expression=np.zeros(1_920, int),
    )
    assert len({picture.tobytes() for picture in render(alike, 32)}) == 1_920


def test_tables_have_the_authors_form(sources: Path) -> None:
    root = sources / "celeba"
    names = {path.name for path in (root / "img_align_celeba").iterdir()}
    assert names == {f"{number:06d}.jpg" for number in range(1, SAMPLES + 1)}
    heads = {
        "identity_CelebA": 0,
        "list_eval_partition": 0,
        "list_landmarks_align_celeba": 2,
        "list_bbox_celeba": 2,
        "list_attr_celeba": 2,
    }
    for stem, head in heads.items():
        lines = (root / f"{stem}.txt").read_text().splitlines()
        assert {line.split()[0] for line in lines[head:]} == names
        assert not head or lines[0] == str(SAMPLES)
    assert tuple((root / "list_attr_celeba.txt").read_text().splitlines()[1].split()) == ATTRIBUTES
    assert len(ATTRIBUTES) == 40
    boxes = [line.split()[1:] for line in (root / "list_bbox_celeba.txt").read_text().splitlines()[2:]]
    assert sum(box[2:] == ["0", "0"] for box in boxes) == 1


def test_a_person_is_in_one_partition_and_files_follow_partitions(sources: Path) -> None:
    identities = read_table(sources / "celeba/identity_CelebA.txt", 1).rows
    partitions = read_table(sources / "celeba/list_eval_partition.txt", 1).rows
    of_person = defaultdict(set)
    for name, (person,) in identities.items():
        of_person[person].add(partitions[name])
    assert all(len(found) == 1 for found in of_person.values())
    assert all(count >= 2 for count in Counter(identities.values()).values())
    in_order = [partitions[name][0] for name in sorted(partitions)]
    assert in_order == sorted(in_order)
    assert set(in_order) >= {0, 1}


def test_eyes_are_where_the_table_says(sources: Path) -> None:
    """The pupil is ink in most styles, so it is darker than the skin between the eyes."""
    rows = read_table(sources / "celeba/list_landmarks_align_celeba.txt").rows
    darker = 0
    for name, points in rows.items():
        with Image.open(sources / "celeba/img_align_celeba" / name) as picture:
            assert picture.size == (178, 218)
            grey = np.asarray(picture.convert("L")).astype(int)
        (left, left_y, right, right_y), between = points[:4], (points[0] + points[2]) // 2
        assert 30 < left < right < 148
        darker += min(grey[left_y, left], grey[right_y, right]) < grey[(left_y + right_y) // 2, between]
    assert darker > 0.7 * len(rows)


def test_attributes_are_true_of_the_face() -> None:
    faces = draw_portraits(1, 0, 500)
    has = dict(zip(ATTRIBUTES, attributes_of(faces).T == 1, strict=True))
    assert set(np.unique(attributes_of(faces))) == {-1, 1}
    bald, black = HAIR_SHAPES.index("bald"), HAIR_COLOURS.index("black")
    for row in range(500):
        assert has["Eyeglasses"][row] == bool(faces.glasses[row])
        assert has["Bald"][row] == (faces.hair_shape[row] == bald)
        assert has["Black_Hair"][row] == (faces.hair_colour[row] == black and faces.hair_shape[row] != bald)
        assert has["No_Beard"][row] != has["Male"][row]
    assert {name for name in ATTRIBUTES if has[name].any()} == {
        *("Bald", "Black_Hair", "Blond_Hair", "Gray_Hair", "Straight_Hair", "Wavy_Hair", "Eyeglasses", "No_Beard"),
        *("Male", "Smiling", "Mouth_Slightly_Open", "Narrow_Eyes", "Pale_Skin"),
    }


def test_pictures_of_a_person_share_the_identity_and_differ_in_the_rest(sources: Path) -> None:
    """By the attributes: those of the identity are constant in a person, the expression is not."""
    table = read_table(sources / "celeba/list_attr_celeba.txt")
    identities = read_table(sources / "celeba/identity_CelebA.txt", 1).rows
    column = {name: number for number, name in enumerate(table.columns)}
    of_person = defaultdict(list)
    for name, (person,) in identities.items():
        of_person[person].append(table.rows[name])
    constant = [column[name] for name in ("Eyeglasses", "No_Beard", "Bald", "Pale_Skin", "Narrow_Eyes", "Wavy_Hair")]
    for rows in of_person.values():
        assert len({tuple(row[index] for index in constant) for row in rows}) == 1
    assert any(len({row[column["Smiling"]] for row in rows}) == 2 for rows in of_person.values())
