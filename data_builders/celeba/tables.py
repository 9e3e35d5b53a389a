"""CelebA's annotation tables, as the authors' text files or Kaggle's CSV files.

A text file has no header (identities, partitions), or two lines: the number of rows and the names of the columns. A CSV
file has one header line, and if pandas wrote it perhaps a column of numbers before the others. Each row is the name of
a picture and integers.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from data_builders.engine.web_page import web_page
from ipai.errors import DataError

_PICTURE = re.compile(r"\d{1,8}\.(jpg|png)")
_MOST_HEADER_LINES = 2
_LARGEST = 10**6


@dataclass(frozen=True)
class Table:
    """A table as read.

    Attributes:
        columns: Names of the columns from its header, without the pictures' column; empty if it has none.
        rows: Values by name of the picture; the first row of a picture counts.
        bad_rows: Rows that were left out: damaged, or of a picture that has a row.
    """

    columns: tuple[str, ...]
    rows: dict[str, tuple[int, ...]]
    bad_rows: int


def read_table(path: Path, width: int | None = None) -> Table:
    """Read a table whose rows have `width` values, or as many as its header has columns.

    Raises:
        DataError: It cannot be read, is no text, has no usable row, or fewer rows than it says.
    """
    lines = _without_row_numbers([fields for line in read_lines(path) if (fields := split(line))])
    header = [fields for fields in lines[:_MOST_HEADER_LINES] if not _PICTURE.fullmatch(fields[0])]
    columns = tuple(header[-1]) if header else ()
    if columns and columns[0] == "image_id":
        columns = columns[1:]
    rows: dict[str, tuple[int, ...]] = {}
    bad = 0
    for name, *texts in lines[len(header) :]:
        values = _integers(texts, len(columns) if width is None else width)
        if values is None or name in rows or not _PICTURE.fullmatch(name):
            bad += 1
        else:
            rows[name] = values
    if not rows:
        raise damaged(path, "it has no usable row")
    declared = int(header[0][0]) if header and len(header[0]) == 1 and header[0][0].isdecimal() else 0
    there = len(lines) - len(header)
    if there < declared:
        raise damaged(path, f"it says that it has {declared:,} rows, and there are {there:,}")
    return Table(columns, rows, bad)


def read_lines(path: Path) -> list[str]:
    """The lines of a text file.

    Raises:
        DataError: It cannot be read, is no text, or a web page.
    """
    try:
        content = path.read_bytes()
        if page := web_page(content):
            raise DataError(f"{path} is {page}. Download it anew, later or from elsewhere, and repeat the command")
        return content.decode("utf-8-sig").splitlines()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}; mend that and repeat the command") from error
    except UnicodeDecodeError as error:
        raise damaged(path, "it is no text") from error


def split(line: str) -> list[str]:
    """The fields of a line that is separated by commas or, without any, by spaces."""
    return [field.strip() for field in line.split(",")] if "," in line else line.split()


def damaged(path: Path, fault: str) -> DataError:
    """The error for a file whose content cannot be used."""
    return DataError(f"{path} is damaged: {fault}. Download it anew and repeat the command")


def _without_row_numbers(lines: list[list[str]]) -> list[list[str]]:
    """The lines without the column that pandas puts before the others unless it is told not to."""
    numbered = len(lines) > 1 and not lines[0][0] and lines[1][0].isdecimal()
    return [fields[1:] for fields in lines] if numbered else lines


def _integers(texts: list[str], width: int) -> tuple[int, ...] | None:
    if len(texts) != width:
        return None
    try:
        values = tuple(int(text.removesuffix(".0")) for text in texts)  # pandas writes 1.0 where a column has gaps
    except ValueError:
        return None
    return values if all(abs(value) <= _LARGEST for value in values) else None
