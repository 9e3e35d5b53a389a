"""As CommonCatalog lies on the hub: Parquet files, the picture as bytes in some and as a struct in others."""

from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pyarrow as pa
from pyarrow import parquet

from ipai.toyworld.sources.pictures import Drawn, jpeg, mixed

_LICENCES = (
    ("Attribution License", "http://creativecommons.org/licenses/by/2.0/"),
    ("Attribution-ShareAlike License", "http://creativecommons.org/licenses/by-sa/2.0/"),
    ("Attribution License", "http://creativecommons.org/licenses/by/2.0/"),
    ("Attribution-NonCommercial License", "http://creativecommons.org/licenses/by-nc/2.0/"),
    ("Attribution-NoDerivs License", "http://creativecommons.org/licenses/by-nd/2.0/"),
)
_ROWS_A_FILE, _ROWS_A_GROUP = 500, 50
_STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write_commoncatalog(folder: Path, samples: int, seed: int, side: int) -> None:
    """Write `<n>/least_dim_range=512-768/aspect_ratio_bucket=1-1/part-....parquet`, so many rows a file."""
    rows = [_row(drawn, side) for drawn in mixed(seed, samples, side)]
    for number, start in enumerate(range(0, len(rows), _ROWS_A_FILE)):
        path = folder / str(number % 10) / "least_dim_range=512-768" / "aspect_ratio_bucket=1-1"
        path.mkdir(parents=True, exist_ok=True)
        part = rows[start : start + _ROWS_A_FILE]
        pictures = [row["jpg"] for row in part]
        table = pa.Table.from_pylist(part)
        if number % 2:
            structs = [
                {"bytes": content, "path": f"{row['photoid']}.jpg"} for content, row in zip(pictures, part, strict=True)
            ]
            table = table.set_column(table.column_names.index("jpg"), "jpg", pa.array(structs, type=_STRUCT))
        parquet.write_table(table, path / f"part-{number:05d}-tid-0-c000.parquet", row_group_size=_ROWS_A_GROUP)


def _row(drawn: Drawn, side: int) -> dict[str, Any]:
    photo = 10_000 + drawn.number
    name, url = _LICENCES[drawn.number % len(_LICENCES)]
    return {
        "photoid": photo,
        "uid": f"{photo % 1000}@N00",
        "unickname": f"painter+{photo % 97}",
        "datetaken": "",
        "dateuploaded": "",
        "capturedevice": "",
        "title": quote_plus(drawn.caption),
        "usertags": "",
        "machinetags": "",
        "longitude": 13.4,
        "latitude": 52.5,
        "accuracy": 16.0,
        "pageurl": f"http://www.flickr.com/photos/painter/{photo}/",
        "downloadurl": "",
        "licensename": name,
        "licenseurl": url,
        "serverid": 0,
        "farmid": 0,
        "secret": "",
        "secretoriginal": "",
        "ext": "jpg",
        "marker": 0,
        "key": f"{photo}",
        "status": "success",
        "error_message": None,
        "width": side,
        "height": side,
        "original_width": side,
        "original_height": side,
        "exif": '{"Image Make": "toy world"}',
        "sha256": f"{photo:064x}",
        "caption": quote_plus(drawn.caption),
        "blip2_caption": drawn.caption + "\n",
        "jpg": jpeg(drawn.pixels),
    }
