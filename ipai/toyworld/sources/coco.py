"""As COCO 2017 lies on disk: photographs by split, and JSON files of their objects and captions."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ipai.toyworld.captions import WITHOUT_COLOUR, WORDINGS
from ipai.toyworld.factors import OBJECTS, Scenes, draw_portraits, draw_scenes
from ipai.toyworld.layers import RADII, centres_of, scene_layers
from ipai.toyworld.shapes import place_outline
from ipai.toyworld.sources.source_files import Mixture, choices, chunks, jpeg, variants_of

# Numbers with gaps, as COCO's.
CATEGORIES = {name: 1 + 9 * index + index % 3 for index, name in enumerate(OBJECTS)}
_VALIDATION = 10  # of so many photographs one is in val2017
_GREY, _BARE = 50, 40  # of so many photographs one has no colour; one shows nothing of the categories
_FIRST_ID, _ID_STEP = 139, 7
# Added to a variant of a caption, each of these gives another wording, whichever the variant.
_FIVE = np.array([0, 2, 16, 18, 32])
_CC = "http://creativecommons.org/licenses"
_LICENCES = [
    {"id": 1, "name": "Attribution-NonCommercial-ShareAlike License", "url": f"{_CC}/by-nc-sa/2.0/"},
    {"id": 2, "name": "Attribution-NonCommercial License", "url": f"{_CC}/by-nc/2.0/"},
    {"id": 3, "name": "Attribution-NonCommercial-NoDerivs License", "url": f"{_CC}/by-nc-nd/2.0/"},
    {"id": 4, "name": "Attribution License", "url": f"{_CC}/by/2.0/"},
    {"id": 5, "name": "Attribution-ShareAlike License", "url": f"{_CC}/by-sa/2.0/"},
    {"id": 6, "name": "Attribution-NoDerivs License", "url": f"{_CC}/by-nd/2.0/"},
    {"id": 7, "name": "No known copyright restrictions", "url": "http://flickr.com/commons/usage/"},
    {"id": 8, "name": "United States Government Work", "url": "http://www.usa.gov/copyright.shtml"},
]
_INFO = {"description": "the toy world, drawn and not photographed; the licences stand for those of photographs"}


def write_coco(folder: Path, samples: int, seed: int, side: int) -> Iterator[int]:
    """Write `train2017`, `val2017` and `annotations`; yields how many pictures were written since."""
    (folder / "annotations").mkdir(parents=True)
    held_out = max(2, samples // _VALIDATION)
    for split, start, count in (("train2017", 0, samples - held_out), ("val2017", samples - held_out, held_out)):
        yield from _write_split(folder, split, seed, start, count, side)


def _write_split(folder: Path, split: str, seed: int, start: int, count: int, side: int) -> Iterator[int]:
    (folder / split).mkdir()
    numbers = np.arange(count)
    # A portrait shows nothing of the categories.
    pictures = Mixture(
        draw_scenes(seed, start, count), draw_portraits(seed, start, count), numbers % _BARE == _BARE // 2
    )
    licences, wordings = choices(seed, start + count, 2)[:, start:]
    texts = [pictures.captions((variants_of(wordings) + offset) % WORDINGS + WITHOUT_COLOUR) for offset in _FIVE]
    images, objects, captions = [], [], []
    for rows in chunks(count):
        masks = scene_layers(pictures.scenes[rows], side)[0].distance < 0
        for row, pixels, mask in zip(numbers[rows].tolist(), pictures[rows].pixels(side), masks, strict=True):
            photo = _FIRST_ID + _ID_STEP * (start + row)
            image = _image(photo, _LICENCES[int(licences[row] * len(_LICENCES))]["id"], side)
            (folder / split / image["file_name"]).write_bytes(jpeg(_grey(pixels) if row % _GREY == 2 else pixels))
            images.append(image)
            captions += [{"id": 5 * photo + n, "image_id": photo, "caption": text[row]} for n, text in enumerate(texts)]
            if not pictures.is_portrait[row]:
                objects.append(_annotation(pictures.scenes, row, photo, mask, is_crowd=row == 0))
        yield rows.stop - rows.start
    shared = {"info": _INFO, "licenses": _LICENCES, "images": images}
    categories = [{"id": number, "name": name, "supercategory": "thing"} for name, number in CATEGORIES.items()]
    instances = shared | {"annotations": objects, "categories": categories}
    for kind, content in {"instances": instances, "captions": shared | {"annotations": captions}}.items():
        (folder / "annotations" / f"{kind}_{split}.json").write_text(json.dumps(content), encoding="utf-8")


def _image(photo: int, licence: Any, side: int) -> dict[str, Any]:
    return {
        "id": photo,
        "file_name": f"{photo:012d}.jpg",
        "width": side,
        "height": side,
        "license": licence,
        "date_captured": "2013-11-14 00:00:00",
        "coco_url": f"http://example.org/coco/{photo:012d}.jpg",
        "flickr_url": f"http://example.org/flickr/{photo}.jpg",
    }


def _grey(pixels: np.ndarray) -> np.ndarray:
    return (pixels @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8)


def _annotation(scenes: Scenes, row: int, photo: int, mask: np.ndarray, is_crowd: bool) -> dict[str, Any]:
    """The object of a scene; a crowd is told as COCO tells them, in run lengths."""
    side, name = len(mask), OBJECTS[scenes.object[row]]
    x, y = (centres_of(scenes[row : row + 1])[0] * side).tolist()
    outline = place_outline(name, (x, y), float(RADII[scenes.size[row]]) * side, float(scenes.angle[row]))
    corners = np.clip(_slit(outline), 0, side)
    low, high = corners.min(0), corners.max(0)
    return {
        "id": 900_000 + photo,
        "image_id": photo,
        "category_id": CATEGORIES[name],
        "segmentation": run_lengths(mask) if is_crowd else [corners.flatten().round(2).tolist()],
        "bbox": np.concatenate([low, high - low]).round(2).tolist(),
        "area": float(mask.sum()),
        "iscrowd": int(is_crowd),
    }


def _slit(outline: list[np.ndarray]) -> np.ndarray:
    """One polygon for an outline and its hole: COCO has no holes, so it enters along a cut and leaves along it."""
    outer, *holes = outline
    for hole in holes:
        outer = np.concatenate([outer, outer[:1], hole[:1], hole[::-1]])
    return outer


def run_lengths(mask: np.ndarray) -> dict[str, Any]:
    """COCO's uncompressed form: how many zeros, ones, zeros, … follow each other, column after column."""
    flat = mask.flatten(order="F")
    ends = [*(np.flatnonzero(np.diff(flat)) + 1).tolist(), flat.size]
    counts = np.diff([0, *ends]).tolist()
    return {"counts": [0, *counts] if flat[0] else counts, "size": list(mask.shape)}
