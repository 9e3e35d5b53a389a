"""CommonCatalog's rows: which columns are read, and what of them is believed. Position and EXIF are never read."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, unquote_plus

from data_builders.commoncanvas.config import CatalogSource
from data_builders.engine.parquet import ParquetFolder
from ipai.errors import DataError
from ipai.words import one_line

PICTURE = "jpg"
_NEEDED = ("photoid", "blip2_caption", "licenseurl", PICTURE)
_USEFUL = ("licensename", "unickname", "pageurl", "sha256", "status")
_OBTAIN = """How to obtain CommonCatalog:
  1. choose a subset whose licence suits you: common-canvas/commoncatalog-cc-by (14.6 million photographs) or
     common-canvas/commoncatalog-cc-by-sa on the hub; the -nd subsets forbid what this builder does
  2. a file of 4 GB holds tens of thousands of photographs, so download one or two, for example
       hf download common-canvas/commoncatalog-cc-by --repo-type dataset \\
         --include "0/least_dim_range=512-768/aspect_ratio_bucket=1-1/part-00000*" --local-dir {root}
  3. repeat the command with source.root={root}; source.files={files} says where below it the files lie
Licence: each row names that of its photograph; credit its author when you share shards."""


@dataclass(frozen=True)
class Row:
    """A row as far as it is understood; what is missing or senseless is None or empty.

    Attributes:
        place: `file#row group`.
        row: In that row group.
        photo: Flickr's id.
        prompt: The clean caption (`blip2_caption`).
        licence: `{"name", "url"}`.
        attribution: The author's name and page.
        sha256: Of the photograph, as the row states it.
        fetched: Whether its author's photograph could be had when the catalogue was made.
    """

    place: str
    row: int
    photo: str | None
    prompt: str
    licence: dict[str, str] | None
    attribution: str | None
    sha256: str | None
    fetched: bool


def catalog(source: CatalogSource) -> ParquetFolder:
    """The files of the source; it looks at none of them."""
    return ParquetFolder(Path(source.root).expanduser(), source.files)


def files_of(source: CatalogSource) -> list[str]:
    """The source's files, each with the columns that are needed.

    Raises:
        DataError: There are none (the message says how to obtain them), or one is damaged or of another data set.
    """
    folder = catalog(source)
    files = folder.files()
    if not files:
        where = f"{Path(source.root).expanduser() / source.files} matches no file."
        raise DataError(f"{where}\n" + _OBTAIN.format(root=source.root, files=source.files))
    for file in files:
        missing = [name for name in _NEEDED if name not in folder.columns(file)]
        if missing:
            raise DataError(
                f"{file} in {source.root} lacks the column(s) {', '.join(missing)}, so it is not CommonCatalog's; "
                "let source.files match that data set's files only"
            )
    return files


def rows_of(source: CatalogSource, files: list[str]) -> Iterator[Row]:
    """Every row of the files, in their order.

    Raises:
        DataError: A file is damaged.
    """
    folder = catalog(source)
    for file in files:
        there = folder.columns(file)
        columns = [name for name in (*_NEEDED[:-1], *_USEFUL) if name in there]
        for place, row, cells in folder.rows(file, columns):
            yield _row(place, row, cells)


def _row(place: str, row: int, cells: dict[str, Any]) -> Row:
    sha256 = _text(cells.get("sha256")).lower()
    url, name = _text(cells.get("licenseurl")), _text(cells.get("licensename"))
    author = ", ".join(part for part in (_decoded(_text(cells.get("unickname"))), _text(cells.get("pageurl"))) if part)
    return Row(
        place,
        row,
        photo=_photo(cells.get("photoid")),
        prompt=_text(cells.get("blip2_caption")),
        licence={"name": name or url, "url": url} if url else None,
        attribution=author or None,
        sha256=sha256 if re.fullmatch("[0-9a-f]{64}", sha256) else None,
        fetched=_text(cells.get("status")).lower() in ("", "success"),
    )


def _photo(value: Any) -> str | None:
    """Flickr's id, which may lie there as a whole number, a float that holds one, or text."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    return text if re.fullmatch(r"[0-9]{1,20}", text) else None


def _text(value: Any) -> str:
    return one_line(value) if isinstance(value, str) else ""


def _decoded(text: str) -> str:
    """`text`, freed of URL encoding if it has it; a name with a plain `+` in it has not."""
    plain = unquote_plus(text)
    return one_line(plain) if quote_plus(plain) == text else text
