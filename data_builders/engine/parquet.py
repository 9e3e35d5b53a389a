"""Parquet files by exact place: small columns row by row when planning, one large cell when building."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

from data_builders.engine.records import Drop
from ipai.errors import DataError

# Rows that are decoded at once: of small columns, and of the one with the pictures.
_ROWS = 4096
_LARGE_ROWS = 16


class ParquetFolder:
    """The Parquet files below `root` that match a glob `pattern`, in the order of their names."""

    def __init__(self, root: Path, pattern: str) -> None:
        self._root = root
        self._pattern = pattern

    def files(self) -> list[str]:
        """Their paths below the root, with slashes."""
        return sorted(path.relative_to(self._root).as_posix() for path in self._root.glob(self._pattern))

    def columns(self, file: str) -> list[str]:
        """The names of the columns of a file.

        Raises:
            DataError: The file is damaged, half-downloaded or cannot be read.
        """
        with _opened(self._root / file) as opened:
            return list(opened.schema_arrow.names)

    def places(self, file: str) -> Iterator[tuple[str, int]]:
        """The place (`file#row group`) and the row in it, for each row of a file; reads no cell.

        Raises:
            DataError: The file is damaged, half-downloaded or cannot be read.
        """
        with _opened(self._root / file) as opened:
            for group in range(opened.num_row_groups):
                for row in range(opened.metadata.row_group(group).num_rows):
                    yield f"{file}#{group}", row

    def rows(self, file: str, columns: Sequence[str]) -> Iterator[tuple[str, int, dict[str, Any]]]:
        """The place (`file#row group`), the row in it, and the cells of `columns`, for each row of a file.

        Raises:
            DataError: The file is damaged, half-downloaded or cannot be read.
        """
        with _opened(self._root / file) as opened:
            for group in range(opened.num_row_groups):
                row = 0
                for batch in _batches(opened, group, columns, _ROWS, self._root / file):
                    for cells in batch.to_pylist():
                        yield f"{file}#{group}", row, cells
                        row += 1


class PictureCells:
    """The bytes in a column of pictures, which holds bytes or `{bytes, path}`.

    A row group is read once for all the rows that are wanted of it, as long as those follow each other.
    """

    def __init__(self, root: Path, column: str, wanted: Iterable[tuple[str, int]]) -> None:
        """`wanted`: place (`file#row group`) and row of every cell that may be asked for."""
        self._root = root
        self._column = column
        self._wanted: dict[str, set[int]] = defaultdict(set)
        for place, row in wanted:
            self._wanted[place].add(row)
        self._place: str | None = None
        self._cells: dict[int, bytes] = {}

    def read(self, place: str, row: int) -> bytes:
        """The bytes of one cell.

        Raises:
            Drop: no_picture (the cell is empty or of another kind), or damaged_row_group.
            DataError: The file is gone or cannot be read.
        """
        if place != self._place:
            self._place, self._cells = place, self._read_group(place)
        if row not in self._cells:
            raise Drop("no_picture")
        return self._cells[row]

    def _read_group(self, place: str) -> dict[int, bytes]:
        file, _, group = place.rpartition("#")
        rows, found, start = self._wanted[place], {}, 0
        with _opened(self._root / file) as opened:
            try:
                for batch in opened.iter_batches(_LARGE_ROWS, [int(group)], [self._column]):
                    for row in rows & set(range(start, start + len(batch))):
                        content = _bytes(batch.column(0)[row - start].as_py())
                        if content:
                            found[row] = content
                    start += len(batch)
                    if start > max(rows):
                        break
            except (pyarrow.ArrowException, OSError) as error:
                self._place = None
                raise Drop("damaged_row_group") from error
        return found


def _bytes(cell: Any) -> bytes | None:
    content = cell.get("bytes") if isinstance(cell, dict) else cell
    return content if isinstance(content, bytes) else None


def _opened(path: Path) -> parquet.ParquetFile:
    try:
        return parquet.ParquetFile(path)
    except FileNotFoundError as error:
        raise DataError(f"{path} is gone; put it back and repeat the command") from error
    except (pyarrow.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def _batches(
    opened: parquet.ParquetFile, group: int, columns: Sequence[str], rows: int, path: Path
) -> Iterator[pyarrow.RecordBatch]:
    try:
        yield from opened.iter_batches(rows, [group], list(columns))
    except (pyarrow.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path} is no whole Parquet file ({str(error).splitlines()[0]}): the download was cut short, or it is a Git "
        "LFS pointer. Download it again, or take it out of the folder, and repeat the command"
    )
