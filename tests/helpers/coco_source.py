"""Writes small COCO sources in the real format, for any test that needs one.

`write_coco_source(folder, images=6)` is a source that builds without a drop: pass `folder` as `source.root` and
`source.split=val2017`. `CocoWriter` makes a source of exactly the photographs and annotations that a test wants.
"""

import io
import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

SPLIT = "val2017"
CATEGORIES = {1: "person", 18: "dog", 53: "apple", 87: "scissors"}  # ids have gaps, as in COCO
LICENCES = {
    1: ("Attribution-NonCommercial-ShareAlike License", "http://creativecommons.org/licenses/by-nc-sa/2.0/"),
    2: ("Attribution-NonCommercial License", "http://creativecommons.org/licenses/by-nc/2.0/"),
    3: ("Attribution-NonCommercial-NoDerivs License", "http://creativecommons.org/licenses/by-nc-nd/2.0/"),
    4: ("Attribution License", "http://creativecommons.org/licenses/by/2.0/"),
    5: ("Attribution-ShareAlike License", "http://creativecommons.org/licenses/by-sa/2.0/"),
    6: ("Attribution-NoDerivs License", "http://creativecommons.org/licenses/by-nd/2.0/"),
    7: ("No known copyright restrictions", "http://flickr.com/commons/usage/"),
    8: ("United States Government Work", "http://www.usa.gov/copyright.shtml"),
}


def write_coco_source(folder: Path, images: int = 6, seed: int = 0) -> Path:
    """Write `images` photographs (240-320 px), each with one object that passes the default filters, and captions.

    About half of them hold a second, too small object. Every photograph has two captions; the one with the lower id
    reads "photo <id>". Equal arguments give equal files. Returns `folder`, which serves as `source.root`.
    """
    draw = random.Random(seed)
    writer = CocoWriter(folder)
    for number in range(images):
        width, height = draw.randint(240, 320), draw.randint(240, 320)
        photo = writer.photo(width, height, licence=1 + number % 8, texture=seed * 100_003 + number)
        side = draw.randint(110, 160)
        box = (draw.randint(5, width - side - 5), draw.randint(5, height - side - 5), side, side)
        writer.object(photo, box, category=draw.choice(list(CATEGORIES.values())))
        if number % 2:
            writer.object(photo, (4, 4, 20, 20))
    return writer.save()


class CocoWriter:
    """Collects photographs and annotations, and writes them as COCO does when `save` is called."""

    def __init__(self, folder: Path, split: str = SPLIT) -> None:
        self.folder = folder
        self.split = split
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self.captions: list[dict[str, Any]] = []
        (folder / split).mkdir(parents=True)
        (folder / "annotations").mkdir()

    def photo(
        self,
        width: int = 320,
        height: int = 240,
        *,
        licence: int = 4,
        content: bytes | None = None,
        texture: int | None = None,
        caption: str | None = "",
    ) -> int:
        """Add a photograph and return its id.

        Args:
            width: As annotated, px.
            height: As annotated, px.
            licence: Id in `LICENCES`.
            content: Bytes of its file, `b""` for no file at all, or None for a JPEG of random texture.
            texture: Decides that texture; the id by default.
            caption: Its first caption; "" for `photo <id>`, None for no caption at all.
        """
        number = 1000 + 37 * len(self.images)
        name = f"{number:012d}.jpg"
        if content is None:
            content = jpeg(textured(width, height, number if texture is None else texture))
        if content:
            (self.folder / self.split / name).write_bytes(content)
        entry = {"id": number, "file_name": name, "width": width, "height": height, "license": licence}
        self.images.append(entry | {"flickr_url": f"http://farm1.staticflickr.com/{number}.jpg"})
        if caption is not None:
            text = caption or f"photo {number}"
            self.captions += [
                {"id": 10 * number + 5, "image_id": number, "caption": "a later caption"},
                {"id": 10 * number, "image_id": number, "caption": f" {text}\n"},
            ]
        return number

    def object(self, photo: int, box: tuple[float, float, float, float], category: str = "dog", **fields: Any) -> int:
        """Add an object (an ellipse that fills `box`) and return its id; `fields` replace or add JSON fields."""
        number = 5000 + len(self.annotations)
        annotation = {
            "id": number,
            "image_id": photo,
            "category_id": {name: key for key, name in CATEGORIES.items()}[category],
            "iscrowd": 0,
            "bbox": list(box),
            "area": math.pi / 4 * box[2] * box[3],
            "segmentation": [ellipse(box)],
        }
        self.annotations.append(annotation | fields)
        return number

    def save(self) -> Path:
        """Write `instances_<split>.json` and `captions_<split>.json`; return the folder."""
        instances = {
            "info": {"description": "a small source in COCO's format"},
            "licenses": [{"id": key, "name": name, "url": url} for key, (name, url) in LICENCES.items()],
            "images": self.images,
            "annotations": self.annotations,
            "categories": [{"id": key, "name": name, "supercategory": "thing"} for key, name in CATEGORIES.items()],
        }
        captions = {"info": {}, "images": self.images, "annotations": self.captions}
        for kind, content in {"instances": instances, "captions": captions}.items():
            (self.folder / "annotations" / f"{kind}_{self.split}.json").write_text(json.dumps(content))
        return self.folder


def ellipse(box: tuple[float, float, float, float], points: int = 24) -> list[float]:
    """The polygon `[x0, y0, x1, y1, ...]` of the ellipse that fills `box`."""
    left, top, width, height = box
    angles = [2 * math.pi * step / points for step in range(points)]
    return [
        value
        for angle in angles
        for value in (left + width * (1 + math.cos(angle)) / 2, top + height * (1 + math.sin(angle)) / 2)
    ]


def textured(width: int, height: int, seed: int) -> Image.Image:
    """A smooth random RGB picture with a few lines, so that its JPEG is neither tiny nor all noise."""
    values = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    picture = Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC)
    lines = ImageDraw.Draw(picture)
    for step in range(5):
        lines.line((0, step * height // 5, width, height - step * height // 7), fill=(step * 50, 90, 200), width=2)
    return picture


def jpeg(picture: Image.Image, **options: Any) -> bytes:
    """JPEG bytes; `options` go to Pillow (for example `exif`)."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90, **options)
    return buffer.getvalue()
