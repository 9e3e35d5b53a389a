"""As COCO 2017 lies on disk: photographs by split, and JSON files of instances and captions."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from ipai.toyworld.captions import plain_captions
from ipai.toyworld.factors import OBJECTS, Scenes, draw_scenes
from ipai.toyworld.layers import RADII, centres_of, scene_layers
from ipai.toyworld.render import render
from ipai.toyworld.shapes import place_outline
from ipai.toyworld.sources.pictures import jpeg

# Numbers with gaps, as COCO's.
CATEGORIES = {name: 1 + 3 * index for index, name in enumerate(OBJECTS)}
_LICENCES = [
    {"id": 4, "name": "Attribution License", "url": "http://creativecommons.org/licenses/by/2.0/"},
    {"id": 7, "name": "No known copyright restrictions", "url": "http://flickr.com/commons/usage/"},
]
_CAPTIONS = 5
_GREY, _BARE = 50, 40  # every so many photographs have no colour, or no annotations


def write_coco(folder: Path, samples: int, seed: int, side: int) -> None:
    """Write `train2017`, a tenth as many in `val2017`, and `annotations`."""
    (folder / "annotations").mkdir(parents=True)
    for index, (split, count) in enumerate((("train2017", samples), ("val2017", max(2, samples // 10)))):
        _write_split(folder, split, draw_scenes(seed + index, 0, count), 1 + 500_000 * index, side)


def _write_split(folder: Path, split: str, scenes: Scenes, first: int, side: int) -> None:
    (folder / split).mkdir()
    pixels = render(scenes, side)
    images, annotations, captions = [], [], []
    texts = [plain_captions(scenes, np.arange(len(scenes)) + 17 * wording) for wording in range(_CAPTIONS)]
    for row, picture in enumerate(pixels):
        photo = first + 3 * row
        name = f"{photo:012d}.jpg"
        grey = np.asarray(picture @ np.array([0.299, 0.587, 0.114]), np.uint8) if row % _GREY == 7 else picture
        (folder / split / name).write_bytes(jpeg(grey))
        images.append(
            {
                "id": photo,
                "file_name": name,
                "width": side,
                "height": side,
                "license": _LICENCES[row % 2]["id"],
                "flickr_url": "",
                "coco_url": "",
                "date_captured": "",
            }
        )
        captions += [{"id": photo * 10 + n, "image_id": photo, "caption": text[row]} for n, text in enumerate(texts)]
        if row % _BARE != 9:
            annotations.append(_annotation(scenes, row, photo, side))
    annotations.append(_crowd(first, side))
    shared = {"info": {"description": "toy world"}, "licenses": _LICENCES, "images": images}
    categories = [{"id": number, "name": name, "supercategory": "thing"} for name, number in CATEGORIES.items()]
    _dump(
        folder / "annotations" / f"instances_{split}.json",
        shared | {"annotations": annotations, "categories": categories},
    )
    _dump(folder / "annotations" / f"captions_{split}.json", shared | {"annotations": captions})


def _annotation(scenes: Scenes, row: int, photo: int, side: int) -> dict[str, Any]:
    name = OBJECTS[scenes.object[row]]
    centre = centres_of(scenes[row : row + 1])[0] * side
    radius = float(RADII[scenes.size[row]]) * side
    outline = place_outline(name, (float(centre[0]), float(centre[1])), radius, float(scenes.angle[row]))
    inside = scene_layers(scenes[row : row + 1], side)[0].distance[0] < 0
    if len(outline) > 1:  # a polygon cannot have a hole
        segmentation: Any = _run_lengths(inside)
    else:
        segmentation = [[round(float(value), 2) for value in np.clip(outline[0], 0, side).flatten()]]
    corners = np.clip(outline[0], 0, side)
    low, high = corners.min(0), corners.max(0)
    return {
        "id": photo + 1_000_000,
        "image_id": photo,
        "category_id": CATEGORIES[name],
        "segmentation": segmentation,
        "bbox": [round(float(value), 2) for value in (*low, *(high - low))],
        "area": float(inside.sum()),
        "iscrowd": 0,
    }


def _crowd(photo: int, side: int) -> dict[str, Any]:
    """Many small things, as COCO marks them: run lengths, and `iscrowd`."""
    mask = np.zeros((side, side), bool)
    mask[: side // 4, side // 2 :] = True
    return {
        "id": photo + 2_000_000,
        "image_id": photo,
        "category_id": CATEGORIES[OBJECTS[0]],
        "segmentation": _run_lengths(mask),
        "bbox": [side / 2, 0.0, side / 2, side / 4],
        "area": float(mask.sum()),
        "iscrowd": 1,
    }


def _run_lengths(mask: np.ndarray) -> dict[str, Any]:
    """COCO's uncompressed form: column after column, how many zeros, ones, zeros, ..."""
    flat = mask.flatten(order="F")
    ends = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], ends, [flat.size]])).tolist()
    return {"counts": [0, *counts] if flat[0] else counts, "size": list(mask.shape)}


def _dump(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
