"""A folder of pictures: a row for each, from a list or from the files' names."""

import csv
import json
import os
import posixpath
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from data_builders.engine.image_files import read_bytes
from data_builders.own.config import OwnSource
from data_builders.own.rows import PICTURES, TEXTS, Row, texts_of, value_of
from ipai.errors import DataError
from ipai.words import one_line

LISTS = ("metadata.jsonl", "metadata.csv")
MASK = ".mask.png"


class FolderPictures:
    """The pictures below a folder; their names are paths below it."""

    def __init__(self, source: OwnSource) -> None:
        self._source = source
        self._root = Path(source.root).expanduser()

    def rows(self) -> list[Row]:
        """As its list says, or one for each picture that is found.

        Raises:
            DataError: The folder or the list is missing or damaged; a line is named with its number and the mend.
        """
        if not self._root.is_dir():
            raise DataError(f"source.root={self._source.root} is no folder; give the one that holds your pictures")
        listed = self._list()
        rows = list(self._listed(listed)) if listed else list(_found(self._root))
        if not rows:
            kinds = ", ".join(sorted(suffixes()))[:120]
            raise DataError(
                f"there is no picture below {self._root} ({kinds}...) and no {' or '.join(LISTS)}; shards of others "
                "are read with source.form=webdataset, data sets of the hub with source.form=huggingface"
            )
        return rows

    def called(self, name: str) -> str:
        """As it is."""
        return name

    def read(self, name: str) -> bytes:
        """What the file holds; raises Drop and DataError as `Pictures.read` does."""
        return read_bytes(self._root / name)

    def _list(self) -> Path | None:
        named = self._source.metadata
        names = [named] if named else list(LISTS)
        found = next((self._root / name for name in names if (self._root / name).is_file()), None)
        if named and found is None:
            raise DataError(f"source.metadata={named} is no file below {self._root}")
        return found

    def _listed(self, path: Path) -> Iterator[Row]:
        try:
            lines = _csv_lines(path) if path.suffix == ".csv" else _json_lines(path)
            for number, line in lines:
                yield self._row(line, f"{path}, line {number}")
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{path} cannot be read as UTF-8 text: {error}") from error

    def _row(self, line: Mapping[str, Any], where: str) -> Row:
        columns = self._source.renamed
        files = {name: value_of(name, line, columns, where) for name in PICTURES}
        target = files["target"]
        if target is None:
            raise DataError(
                f"{where} names no picture; it needs file_name (or target), and may have condition, mask, "
                f"{', '.join(TEXTS)}"
            )
        for name in filter(None, files.values()):
            _refuse_outside(name, where)
        texts, beside = texts_of(line, columns, where), _beside(self._root, target)
        return Row(
            target=target,
            condition=files["condition"],
            prompt=texts["prompt"] or beside.prompt,
            cond_prompt=texts["cond_prompt"],
            slot=texts["slot"],
            group=texts["group"] or beside.group,
            licence=texts["licence"],
            mask=files["mask"] or beside.mask,
        )


def _csv_lines(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from enumerate(csv.DictReader(file), start=2)


def _json_lines(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if line.strip():
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}, line {number} is not JSON: {str(error)[:200]}") from error
            if not isinstance(value, dict):
                raise DataError(f'{path}, line {number} is no JSON object, such as {{"file_name": "a.jpg"}}')
            yield number, value


def _refuse_outside(name: str, where: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise DataError(f"{where}: {name} lies outside of source.root; name files below it")


def _found(root: Path) -> Iterator[Row]:
    readable = suffixes()
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() in readable and not path.name.endswith(MASK) and path.is_file():
            yield _beside(root, path.relative_to(root).as_posix())


def _beside(root: Path, target: str) -> Row:
    """What the files beside a picture and its folder say."""
    # Texts, not paths: a list may name a million pictures, and making five paths of each takes longer than all else.
    folder, name = posixpath.split(posixpath.normpath(target))
    dot = name.rfind(".")
    plain = posixpath.join(folder, name[:dot] if 0 < dot < len(name) - 1 else name)  # as Path.stem
    caption, mask = f"{root}/{plain}.txt", plain + MASK
    prompt = None
    if _is_file(caption):
        try:
            prompt = one_line(Path(caption).read_text(encoding="utf-8-sig")) or None
        except UnicodeDecodeError as error:
            raise DataError(f"{caption} is not UTF-8 text: {error}") from error
    return Row(
        target,
        prompt=prompt,
        group=folder or None,
        slot=posixpath.basename(folder).replace("_", " ") or None,
        mask=mask if _is_file(f"{root}/{mask}") else None,
    )


def _is_file(path: str) -> bool:
    """As Path.is_file, which takes twice as long: what may not be looked at is an error, not a missing file."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False


def suffixes() -> set[str]:
    """What the names of pictures end with that can be read here, in lower case."""
    return {suffix for suffix, form in Image.registered_extensions().items() if form in Image.OPEN}
