"""The style images of a source: found, checked and deduplicated, by content and by look."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from data_builders.engine.image_files import decode_picture, read_bytes
from data_builders.engine.parquet import ParquetFolder, PictureCells
from data_builders.engine.records import Drop
from data_builders.instantstyle.config import StyleSource
from ipai.data.likeness import first_of_alike, perceptual_hash
from ipai.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
# Why a picture is no style image, in the order in which it is judged.
REASONS = {
    "name": "its file name is not UTF-8",
    "no_picture": "its Parquet cell is empty",
    "damaged_row_group": "its part of the Parquet file is damaged",
    "missing_file": "its file vanished while it was read",
    "not_an_image": "it is no picture",
    "too_many_pixels": "it has more than `source.max_pixels`",
    "truncated": "it is cut short or damaged",
    "too_small": "its shorter side is under `source.min_side`",
    "duplicate": "a picture before it has the same bytes",
    "near_duplicate": "its perceptual hash differs in fewer than `source.min_distance` bits from a picture before it",
}
_OBTAIN = """How to obtain the style images of the paper:
  1. hf download ehristoforu/midjourney-images --repo-type dataset --local-dir {root}
  2. a zip that comes with it holds the same pictures: it is not read, and need not be unpacked if images/ is there
  3. repeat the command with source.root={root}; any other folder of pictures works as well
Licence: the uploader tags them MIT; the rights in the pictures are unclear, so check before you share shards."""


@dataclass(frozen=True)
class Place:
    """Where a picture lies: a file below the root, or (`row` is set) a row of `file#row group`."""

    name: str
    row: int | None

    def __str__(self) -> str:
        return self.name if self.row is None else f"{self.name}/{self.row}"


@dataclass(frozen=True)
class StyleImage:
    """A picture that can be decoded, with the SHA-256 of its bytes and its perceptual hash."""

    place: Place
    sha256: str
    look: int


def reader(source: StyleSource, places: list[Place]) -> Callable[[Place], Image.Image]:
    """Reads and checks the pictures at `places`; raises Drop with one of `REASONS`, or DataError."""
    contents = _contents(source, places)
    return lambda place: _checked(contents(place), source)


def find_images(source: StyleSource, drops: Counter[str]) -> list[StyleImage]:
    """Every style image, in the order of their names, the first of duplicates; what is left out is counted in `drops`.

    It decodes every picture, on all cores.

    Raises:
        DataError: There are none (the message says how to obtain them), or one cannot be read.
    """
    root = Path(source.root).expanduser()
    places = [*_files(root), *_rows(root, source)]
    if not places:
        raise DataError(f"{root} holds no pictures ({', '.join(SUFFIXES)}).\n" + _OBTAIN.format(root=source.root))
    contents = _contents(source, [place for place in places if place.row is not None])

    def judged(place: Place) -> StyleImage | Drop:
        try:
            content = contents(place)
            return StyleImage(place, hashlib.sha256(content).hexdigest(), perceptual_hash(_checked(content, source)))
        except Drop as drop:
            return drop

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        files = threads.map(judged, [place for place in places if place.row is None])
        rows = map(judged, [place for place in places if place.row is not None])  # in the order of their row groups
        return _distinct([*files, *rows], source.min_distance, drops)


def _distinct(found: list[StyleImage | Drop], min_distance: int, drops: Counter[str]) -> list[StyleImage]:
    images = [item for item in found if isinstance(item, StyleImage)]
    drops.update(item.reason for item in found if isinstance(item, Drop))
    looks = np.array([image.look for image in images], np.uint64)
    unlike = first_of_alike(looks, min_distance - 1) if min_distance else np.ones(len(images), bool)
    kept: dict[str, StyleImage] = {}
    for image, first in zip(images, unlike.tolist(), strict=True):
        if image.sha256 in kept:
            drops["duplicate"] += 1
        elif not first:
            drops["near_duplicate"] += 1
        else:
            kept[image.sha256] = image
    return list(kept.values())


def _files(root: Path) -> list[Place]:
    paths = (path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    names = sorted(path.relative_to(root).as_posix() for path in paths)
    return [Place(name, None) for name in names if not any(part.startswith(".") for part in name.split("/"))]


def _rows(root: Path, source: StyleSource) -> Iterator[Place]:
    folder = ParquetFolder(root, "**/*.parquet")
    for file in folder.files():
        if source.picture_column not in folder.columns(file):
            raise DataError(
                f"{file} in {root} has no column {source.picture_column}; name its column of pictures with "
                "source.picture_column, or take the file out of the folder"
            )
        yield from (Place(place, row) for place, row in folder.places(file))


def _contents(source: StyleSource, places: list[Place]) -> Callable[[Place], bytes]:
    root = Path(source.root).expanduser()
    cells = PictureCells(root, source.picture_column, [(p.name, p.row) for p in places if p.row is not None])

    def content(place: Place) -> bytes:
        try:
            place.name.encode()
        except UnicodeEncodeError as error:
            raise Drop("name") from error
        return read_bytes(root / place.name) if place.row is None else cells.read(place.name, place.row)

    return content


def _checked(content: bytes, source: StyleSource) -> Image.Image:
    picture = decode_picture(content, None, source.max_pixels)
    if min(picture.size) < source.min_side:
        raise Drop("too_small")
    return picture
