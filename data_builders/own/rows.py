"""What is in the folder: a row for each picture, from a list or from the files' names."""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from data_builders.own.config import OwnSource
from data_builders.words import one_line
from ipai.errors import DataError

LISTS = ("metadata.jsonl", "metadata.csv")
COLUMNS = ("file_name", "target", "condition", "prompt", "text", "cond_prompt", "slot", "group", "licence", "mask")
MASK = ".mask.png"


@dataclass(frozen=True)
class Row:
    """One picture, and what is known of it.

    Attributes:
        target: Path below the root.
        condition: Likewise, where the list names one.
        prompt, cond_prompt: Captions, where there are some.
        slot: Name of the object.
        group: What pictures of one style or of one person have in common.
        licence: Name of its licence, where the list says it.
        mask: Path of its mask.
    """

    target: str
    condition: str | None = None
    prompt: str | None = None
    cond_prompt: str | None = None
    slot: str | None = None
    group: str | None = None
    licence: str | None = None
    mask: str | None = None


def read_rows(source: OwnSource) -> list[Row]:
    """Every row, in an order that depends on names alone.

    Raises:
        DataError: The folder or the list is missing or damaged; a line is named with its number and the mend.
    """
    root = Path(source.root).expanduser()
    if not root.is_dir():
        raise DataError(f"source.root={source.root} is no folder; give the one that holds your pictures")
    listed = _list_of(root, source.metadata)
    rows = list(_listed(root, listed)) if listed else list(_found(root))
    if not rows:
        kinds = ", ".join(sorted(_suffixes()))[:120]
        raise DataError(f"there is no picture below {root} ({kinds}...) and no {' or '.join(LISTS)}")
    return rows


def _list_of(root: Path, named: str | None) -> Path | None:
    names = [named] if named else list(LISTS)
    found = next((root / name for name in names if (root / name).is_file()), None)
    if named and found is None:
        raise DataError(f"source.metadata={named} is no file below {root}")
    return found


def _listed(root: Path, path: Path) -> Iterator[Row]:
    try:
        lines = _csv_lines(path) if path.suffix == ".csv" else _json_lines(path)
        for number, line in lines:
            yield _row(root, line, f"{path}, line {number}")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as UTF-8 text: {error}") from error


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


def _row(root: Path, line: Mapping[str, Any], where: str) -> Row:
    values = {name: _text(line.get(name), name, where) for name in COLUMNS}
    target = values["target"] or values["file_name"]
    if target is None:
        raise DataError(
            f"{where} names no picture; it needs file_name (or target), and may have {', '.join(COLUMNS[2:])}"
        )
    for name in ("condition", "mask"):
        if values[name] is not None:
            _refuse_outside(values[name], where)
    _refuse_outside(target, where)
    beside = _beside(root, target)
    return Row(
        target=target,
        condition=values["condition"],
        prompt=values["prompt"] or values["text"] or beside.prompt,
        cond_prompt=values["cond_prompt"],
        slot=values["slot"],
        group=values["group"] or beside.group,
        licence=values["licence"],
        mask=values["mask"] or beside.mask,
    )


def _text(value: Any, name: str, where: str) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise DataError(f"{where}: {name} is {json.dumps(value)[:60]}, not text")
    return one_line(value) or None


def _refuse_outside(name: str | None, where: str) -> None:
    path = PurePosixPath(name or "")
    if path.is_absolute() or ".." in path.parts:
        raise DataError(f"{where}: {name} lies outside of source.root; name files below it")


def _found(root: Path) -> Iterator[Row]:
    suffixes = _suffixes()
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() in suffixes and not path.name.endswith(MASK) and path.is_file():
            yield _beside(root, path.relative_to(root).as_posix())


def _beside(root: Path, target: str) -> Row:
    """What the files beside a picture and its folder say."""
    path = root / target
    caption, mask = path.with_suffix(".txt"), path.with_name(path.stem + MASK)
    prompt = None
    if caption.is_file():
        try:
            prompt = one_line(caption.read_text(encoding="utf-8-sig")) or None
        except UnicodeDecodeError as error:
            raise DataError(f"{caption} is not UTF-8 text: {error}") from error
    folder = path.parent.relative_to(root).as_posix()
    group = None if folder == "." else folder
    slot = None if group is None else PurePosixPath(group).parts[-1].replace("_", " ")
    return Row(
        target,
        prompt=prompt,
        group=group,
        slot=slot,
        mask=mask.relative_to(root).as_posix() if mask.is_file() else None,
    )


def _suffixes() -> set[str]:
    return {suffix for suffix, form in Image.registered_extensions().items() if form in Image.OPEN}
