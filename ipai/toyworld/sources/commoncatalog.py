"""As CommonCatalog lies on the hub: Parquet files with the pictures in them, as bytes or as a struct."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pyarrow as pa
from pyarrow import parquet

from ipai.toyworld.sources.source_files import choices, chunks, draw_mixture, jpeg, variants_of

_FILE_ROWS = 500  # at most
_FOLDERS = 10
_FIRST_ID = 2_000_000_000
_CC = "http://creativecommons.org/licenses"
_BY = ("Attribution License", f"{_CC}/by/2.0/")
_OTHERS = (
    ("Attribution-ShareAlike License", f"{_CC}/by-sa/2.0/"),
    ("Attribution-NonCommercial License", f"{_CC}/by-nc/2.0/"),
    ("Attribution-NoDerivs License", f"{_CC}/by-nd/2.0/"),
    ("Attribution-NonCommercial-NoDerivs License", f"{_CC}/by-nc-nd/2.0/"),
)
_SHARE_OF_OTHERS = 0.2
_EXIF = json.dumps({"Image Make": "toy world", "GPS GPSLatitude": "[52, 31, 12]"})
_JPG = {True: pa.struct([("bytes", pa.binary()), ("path", pa.string())]), False: pa.binary()}
_KINDS = (
    (pa.int64(), ("photoid", "width", "height", "original_width", "original_height")),
    (pa.float64(), ("longitude", "latitude", "accuracy")),
    (pa.string(), ("uid", "unickname", "title", "pageurl", "downloadurl", "licensename", "licenseurl", "ext", "key")),
    (pa.string(), ("status", "error_message", "exif", "sha256", "caption", "blip2_caption")),
)
_COLUMNS = {name: kind for kind, names in _KINDS for name in names}


def write_commoncatalog(folder: Path, samples: int, seed: int, side: int) -> Iterator[int]:
    """Write at least two files, in folders `0`, `1` and so on; yields how many rows were written since."""
    wordings, raw_wordings, licences, longitudes, latitudes = choices(seed, samples, 5)
    pictures = draw_mixture(seed, samples)
    clean = pictures.captions(variants_of(wordings))
    raw = pictures.captions(variants_of(raw_wordings), rich=True)
    files = max(2, -(-samples // _FILE_ROWS))
    for number in range(files):
        first, end = samples * number // files, samples * (number + 1) // files
        in_struct = number % 2 == 1
        with parquet.ParquetWriter(_new_path(folder, number), pa.schema(_COLUMNS | {"jpg": _JPG[in_struct]})) as writer:
            for part in chunks(end - first):
                rows = range(first, end)[part]
                cells = []
                for row, pixels in zip(rows, pictures[rows.start : rows.stop].pixels(side), strict=True):
                    said = {"caption": quote_plus(raw[row]), "blip2_caption": clean[row] + "\n"}
                    place = {"longitude": longitudes[row] * 360 - 180, "latitude": latitudes[row] * 180 - 90}
                    cells.append(
                        _row(_FIRST_ID + row, jpeg(pixels), side, in_struct) | said | place | _licence(licences[row])
                    )
                writer.write_table(pa.Table.from_pylist(cells, writer.schema))  # a row group of its own
                yield len(rows)


def _new_path(folder: Path, number: int) -> Path:
    path = folder / str(number % _FOLDERS) / "least_dim_range=512-768" / "aspect_ratio_bucket=1-1"
    path.mkdir(parents=True, exist_ok=True)
    return path / f"part-{number:05d}-tid-0-c000.snappy.parquet"


def _row(photo: int, content: bytes, side: int, in_struct: bool) -> dict[str, Any]:
    return {
        "photoid": photo,
        "uid": f"{photo % 9973}@N00",
        "unickname": f"toy+painter+{photo % 97}",
        "title": f"picture+{photo}",
        "accuracy": 16.0,
        "pageurl": f"http://example.org/photos/{photo}/",
        "downloadurl": f"http://example.org/photos/{photo}.jpg",
        "ext": "jpg",
        "key": f"{photo % 10**9:09d}",
        "status": "success",
        "width": side,
        "height": side,
        "original_width": side,
        "original_height": side,
        "exif": _EXIF,
        "sha256": hashlib.sha256(content).hexdigest(),
        "jpg": {"bytes": content, "path": f"{photo}.jpg"} if in_struct else content,
    }


def _licence(draw: float) -> dict[str, str]:
    name, url = _OTHERS[int(draw / _SHARE_OF_OTHERS * len(_OTHERS))] if draw < _SHARE_OF_OTHERS else _BY
    return {"licensename": name, "licenseurl": url}
