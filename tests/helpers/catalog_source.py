"""Writes small CommonCatalog sources in the hub's layout and with its columns.

`write_catalog_source(folder, photos=6)` builds without a drop: pass `folder` as `source.root`. `row` makes one row of
exactly the cells that a test wants, `write_part` a file of them.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw
from pyarrow import parquet

from tests.helpers.coco_source import jpeg

PART = "0/least_dim_range=512-768/aspect_ratio_bucket=4-3/part-00000-tid-1-c000.parquet"
BY = ("Attribution License", "http://creativecommons.org/licenses/by/2.0/")
_STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write_catalog_source(folder: Path, photos: int = 6, struct: bool = False) -> Path:
    """Two files in two of the hub's folders, three rows a row group. Equal arguments give equal files."""
    rows = [row(100 + number, struct=struct) for number in range(photos)]
    write_part(folder, rows[: photos // 2], struct=struct)
    write_part(folder, rows[photos // 2 :], PART.replace("0/", "1/", 1), struct=struct)
    return folder


def row(photo: int, struct: bool = False, **cells: Any) -> dict[str, Any]:
    """The cells of one row; `cells` replace them, and `jpg` is put into a struct where that is asked for."""
    content = jpeg(photograph(photo), exif=_exif())
    values = {
        "photoid": photo,
        "unickname": f"Ana+{photo}",
        "title": "a+title",
        "longitude": 13.4,
        "latitude": 52.5,
        "pageurl": f"http://www.flickr.com/photos/ana/{photo}/",
        "licensename": BY[0],
        "licenseurl": BY[1],
        "sha256": f"{photo:064x}",
        "status": "success",
        "width": 320,
        "height": 240,
        "exif": '{"Image Make": "SECRET CAMERA"}',
        "caption": "a%20raw%20caption",
        "blip2_caption": f"photo number {photo}\n",
        "jpg": content,
    } | cells
    if struct:
        values["jpg"] = None if values["jpg"] is None else {"bytes": values["jpg"], "path": f"{photo}.jpg"}
    return values


def write_part(folder: Path, rows: list[dict[str, Any]], part: str = PART, struct: bool = False) -> Path:
    """One Parquet file, three rows a row group."""
    path = folder / part
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows)
    kind = _STRUCT if struct else pa.binary()
    if "jpg" in table.column_names:
        table = table.set_column(
            table.column_names.index("jpg"), "jpg", pa.array([line["jpg"] for line in rows], type=kind)
        )
    parquet.write_table(table, path, row_group_size=3)
    return path


def photograph(seed: int, width: int = 320, height: int = 240, lines: int = 12) -> Image.Image:
    """Straight lines on grey, so that its edges are neither few nor many."""
    draw = np.random.default_rng(seed)
    picture = Image.new("RGB", (width, height), (120, 120, 130))
    pen = ImageDraw.Draw(picture)
    for _ in range(lines):
        ends = draw.integers(0, (width, height), (2, 2)).flatten().tolist()
        pen.line(ends, fill=tuple(int(value) for value in draw.integers(0, 256, 3)), width=6)
    return picture


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F] = "SECRET CAMERA"
    return exif
