"""COCO's form: what its own library reads of it, and what it says of the pictures."""

import contextlib
import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from data_builders.coco.masks import usable
from ipai.toyworld.factors import OBJECTS, draw_scenes
from ipai.toyworld.layers import scene_layers
from ipai.toyworld.sources.coco import CATEGORIES, run_lengths, write_coco
from tests.toyworld.sources.conftest import SAMPLES, SIDE

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
SPLITS = ("train2017", "val2017")
COUNT = 400


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("coco")
    assert sum(write_coco(folder, COUNT, 3, SIDE)) == COUNT
    return folder


def read(folder: Path, split: str, kind: str = "instances") -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(folder / "annotations" / f"{kind}_{split}.json"))


def test_masks_are_where_the_objects_are_drawn(coco: Path) -> None:
    scenes = draw_scenes(3, 0, COUNT)
    drawn = scene_layers(scenes, SIDE)[0].distance < 0
    seen: Counter[str] = Counter()
    for split in SPLITS:
        index = read(coco, split)
        for annotation in index.anns.values():
            row = (annotation["image_id"] - 139) // 7
            assert index.cats[annotation["category_id"]]["name"] == OBJECTS[scenes.object[row]]
            mask = index.annToMask(annotation).astype(bool)
            assert (mask & drawn[row]).sum() > 0.9 * (mask | drawn[row]).sum()
            assert annotation["area"] == drawn[row].sum()
            ys, xs = np.nonzero(mask)
            left, top, width, height = annotation["bbox"]
            measured = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
            assert np.abs(np.array([left, top, left + width, top + height]) - measured).max() <= 2
            seen[OBJECTS[scenes.object[row]]] += 1
    assert set(seen) == set(OBJECTS)


def test_every_object_is_one_usable_polygon_and_one_a_split_a_crowd_in_run_lengths(coco: Path) -> None:
    for split in SPLITS:
        annotations = read(coco, split).dataset["annotations"]
        assert all(usable(annotation["segmentation"], SIDE, SIDE) for annotation in annotations)
        crowds = [annotation for annotation in annotations if annotation["iscrowd"]]
        assert [type(annotation["segmentation"]) for annotation in crowds] == [dict]
        assert all(len(a["segmentation"]) == 1 for a in annotations if not a["iscrowd"])


def test_numbers_have_gaps_and_are_used_once(coco: Path) -> None:
    images: list[int] = []
    objects: list[int] = []
    captions: list[int] = []
    for split in SPLITS:
        instances, texts = read(coco, split), read(coco, split, "captions")
        images += list(instances.imgs)
        objects += [annotation["id"] for annotation in instances.dataset["annotations"]]
        captions += [annotation["id"] for annotation in texts.dataset["annotations"]]
    for numbers in (images, objects, captions):
        assert len(set(numbers)) == len(numbers)
    assert len(images) == COUNT
    assert max(np.diff(sorted(CATEGORIES.values()))) > 1
    assert len(set(CATEGORIES.values())) == len(OBJECTS)


def test_photographs_are_as_listed_some_grey_some_without_objects(coco: Path) -> None:
    modes: Counter[str] = Counter()
    bare = 0
    for split in SPLITS:
        index = read(coco, split)
        licences = {licence["id"]: licence["url"] for licence in index.dataset["licenses"]}
        assert len(licences) == 8
        for photo in index.imgs.values():
            with Image.open(coco / split / photo["file_name"]) as picture:
                assert picture.size == (photo["width"], photo["height"]) == (SIDE, SIDE)
                modes[picture.mode] += 1
            assert photo["file_name"] == f"{photo['id']:012d}.jpg"
            assert licences[photo["license"]]
            assert photo["flickr_url"]
            bare += photo["id"] not in index.imgToAnns
        assert len(list((coco / split).iterdir())) == len(index.imgs)
    assert modes == {"RGB": COUNT - 9, "L": 9}
    assert bare == 10


def test_every_photograph_has_five_different_captions_that_name_its_object(coco: Path) -> None:
    for split in SPLITS:
        instances, captions = read(coco, split), read(coco, split, "captions")
        for photo in instances.imgs:
            texts = {caption["caption"] for caption in captions.imgToAnns[photo]}
            assert len(texts) == 5
            for annotation in instances.imgToAnns[photo]:
                assert all(instances.cats[annotation["category_id"]]["name"] in text for text in texts)


def test_run_lengths_cover_the_mask_column_by_column() -> None:
    assert run_lengths(np.array([[0, 1], [1, 1]], bool)) == {"counts": [1, 3], "size": [2, 2]}
    assert run_lengths(np.array([[1, 0], [1, 0]], bool)) == {"counts": [0, 2, 2], "size": [2, 2]}
    assert run_lengths(np.zeros((2, 3), bool)) == {"counts": [6], "size": [2, 3]}


def test_the_smallest_source_has_both_splits(tmp_path: Path) -> None:
    assert sum(write_coco(tmp_path, 10, 0, 16)) == 10
    for split in SPLITS:
        content = json.loads((tmp_path / "annotations" / f"instances_{split}.json").read_text())
        assert any(not annotation["iscrowd"] for annotation in content["annotations"])


def test_it_is_part_of_the_sources(sources: Path) -> None:
    assert sum(len(read(sources / "coco", split).imgs) for split in SPLITS) == SAMPLES
