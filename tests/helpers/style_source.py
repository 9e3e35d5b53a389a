"""Writes small sources of style images, as the image folder on the hub or as Parquet, with prompts and captions."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image
from pyarrow import parquet

from tests.helpers.coco_source import jpeg, textured

PROMPTS = ("a red barn in a field", "two dogs on a beach", "a woman with a hat", "an old bridge over a river")


def write_style_source(folder: Path, images: int = 6) -> Path:
    """`images/NNN.jpg`, `captions.jsonl` and `prompts.txt`; equal arguments give equal files. Returns `folder`."""
    contents = {f"images/{number:03d}.jpg": jpeg(style_image(number)) for number in range(images)}
    write_images(folder, contents)
    write_captions(folder, {name: f"what {name} shows" for name in contents})
    (folder / "prompts.txt").write_text("\n".join(PROMPTS) + "\n")
    return folder


def write_images(folder: Path, contents: dict[str, bytes]) -> None:
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def write_captions(folder: Path, captions: dict[str, str], name: str = "captions.jsonl") -> None:
    lines = [json.dumps({"file_name": place, "text": text}) for place, text in captions.items()]
    (folder / name).write_text("\n".join(lines) + "\n")


def write_parquet(path: Path, cells: list[Any], column: str = "image") -> None:
    """A column of `{bytes, path}`, as `datasets` writes pictures; two rows a row group."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    values = [None if cell is None else {"bytes": cell, "path": "x.jpg"} for cell in cells]
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table({column: pa.array(values, type=kind)}), path, row_group_size=2)


def style_image(seed: int) -> Image.Image:
    return textured(300, 260, 7000 + seed)
