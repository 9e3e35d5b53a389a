"""COCO's annotation files: where they are, what they hold, and what is refused as damaged.

Format: `annotations/instances_<split>.json` with lists `images`, `annotations`, `categories` and `licenses`;
`annotations/captions_<split>.json` with lists `images` and `annotations`.
"""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from data_builders.coco.config import CocoSource
from data_builders.engine.web_page import LOOKED_AT, web_page
from ipai.errors import DataError

_OBTAIN = """How to obtain COCO 2017:
  1. from the "Download" page of the COCO site (cocodataset.org) take train2017.zip (18 GB, 118,287 photographs),
     val2017.zip (1 GB, 5,000 photographs) and annotations_trainval2017.zip (241 MB); either split can be built alone
  2. unzip all of them in {root}, so that there are
       {root}/annotations/instances_{split}.json
       {root}/annotations/captions_{split}.json   (only captioner=dataset needs it)
       {root}/{split}/000000000139.jpg  and so on
  3. repeat the command with source.root={root}
Licence: the annotations are CC BY 4.0 (COCO Consortium). The photographs belong to their authors on Flickr, each under
the licence that its record names; some forbid commercial use or derivatives (source.licences=permissive leaves those
out). The site's terms of use hold too."""


@dataclass(frozen=True)
class Photo:
    """A photograph as COCO lists it. Sizes are px of the file as it lies; `licence` is `{"name", "url"}` or None."""

    id: int
    file_name: str
    width: int
    height: int
    licence: dict[str, str] | None
    flickr_url: str | None


@dataclass(frozen=True)
class Instances:
    """What an instances file holds.

    Attributes:
        photos: By id.
        names: Category names by category id (the ids have gaps).
        annotations: As they are in the file, by photograph id, those of one photograph sorted by id.
    """

    photos: dict[int, Photo]
    names: dict[int, str]
    annotations: dict[int, list[dict[str, Any]]]


def load_instances(source: CocoSource) -> Instances:
    """Read and check the instances file.

    Raises:
        DataError: A folder or file is missing (the message says how to obtain COCO), or the file is damaged.
    """
    root = Path(source.root).expanduser()
    path = root / "annotations" / f"instances_{source.split}.json"
    for needed in (root, path, photo_folder(source)):
        if not needed.exists():
            raise DataError(f"{needed} does not exist.\n" + _OBTAIN.format(root=source.root, split=source.split))
    dataset = _read_lists(path, ("images", "annotations", "categories"))
    _check_fields(dataset, path)
    licences = _licences(dataset)
    photos = {image["id"]: _photo(image, licences, path) for image in dataset["images"]}
    names = {category["id"]: category["name"] for category in dataset["categories"]}
    # Not pycocotools' index, which holds five more tables: of a million annotations they take 100 MiB.
    annotations: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in dataset["annotations"]:
        annotations[annotation["image_id"]].append(annotation)
    for items in annotations.values():
        items.sort(key=lambda item: item["id"])
    return Instances(photos, names, dict(annotations))


def load_captions(source: CocoSource) -> dict[int, list[str]]:
    """The captions of each photograph in the order of their ids, as they are in the file, by photograph id.

    Raises:
        DataError: The captions file is missing or damaged.
    """
    path = Path(source.root).expanduser() / "annotations" / f"captions_{source.split}.json"
    if not path.exists():
        raise DataError(
            f"{path} does not exist, so captioner=dataset has no captions. It is in annotations_trainval2017.zip "
            'on the COCO site (cocodataset.org, "Download"); or do without it with captioner=template'
        )
    found: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for number, entry in enumerate(_read_lists(path, ("annotations",))["annotations"]):
        if not _has(entry, id=int, image_id=int, caption=str):
            raise _damaged(path, f"annotations[{number}] lacks id, image_id or caption, or one is of the wrong type")
        found[entry["image_id"]].append((entry["id"], entry["caption"]))
    return {image: [caption for _, caption in sorted(captions)] for image, captions in found.items()}


def photo_folder(source: CocoSource) -> Path:
    """Where the photographs of the split lie: in `<split>`, or `images/<split>` as other tools want them."""
    root = Path(source.root).expanduser()
    inner = root / "images" / source.split
    return inner if inner.is_dir() and not (root / source.split).is_dir() else root / source.split


def photo_path(source: CocoSource, file_name: str) -> Path:
    """Where a photograph lies."""
    return photo_folder(source) / file_name


def _read_lists(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            page = web_page(file.read(LOOKED_AT))
        if page:
            raise DataError(f"{path} is {page}. Download it anew and repeat the command")
        dataset = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"it is not JSON: {error}") from error
    for key in keys:
        if not isinstance(dataset, dict) or not isinstance(dataset.get(key), list):
            raise _damaged(path, f"it has no list {key!r}")
    lists: dict[str, Any] = dataset
    return lists


def _check_fields(dataset: dict[str, Any], path: Path) -> None:
    """Raise a DataError if an entry lacks a field that is read."""
    required: dict[str, dict[str, type]] = {
        "images": {"id": int, "file_name": str, "width": int, "height": int},
        "annotations": {"id": int, "image_id": int, "category_id": int},
        "categories": {"id": int, "name": str},
    }
    for key, types in required.items():
        for number, entry in enumerate(dataset[key]):
            if not _has(entry, **types):
                raise _damaged(path, f"{key}[{number}] lacks {' or '.join(types)}, or one is of the wrong type")


def _has(entry: Any, **types: type) -> bool:
    return isinstance(entry, dict) and all(isinstance(entry.get(key), kind) for key, kind in types.items())


def _photo(image: dict[str, Any], licences: dict[int, dict[str, str]], path: Path) -> Photo:
    name = PurePosixPath(image["file_name"])
    if name.is_absolute() or ".." in name.parts or min(image["width"], image["height"]) < 1:
        raise _damaged(path, f"image {image['id']} has an impossible file_name, width or height")
    url = image.get("flickr_url") or image.get("coco_url")
    return Photo(
        image["id"], image["file_name"], image["width"], image["height"], licences.get(image.get("license", -1)), url
    )


def _licences(dataset: dict[str, Any]) -> dict[int, dict[str, str]]:
    entries = dataset.get("licenses")
    return {
        entry["id"]: {"name": entry["name"], "url": entry["url"]}
        for entry in (entries if isinstance(entries, list) else [])
        if _has(entry, id=int, name=str, url=str)
    }


def _damaged(path: Path, fault: str) -> DataError:
    return DataError(f"{path} is damaged: {fault}. Unpack annotations_trainval2017.zip anew and repeat the command")
