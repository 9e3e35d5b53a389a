"""Prompts from any text file, or from tables such as WikiArt's metadata."""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from data_builders.engine.parquet import ParquetFolder
from data_builders.instantstyle.config import Prompts
from data_builders.instantstyle.content import content_words, says_nothing
from ipai.errors import DataError
from ipai.words import one_line

_LONGEST = 2000  # letters; nobody looks for the content of more
_TABLES = {".csv": ",", ".tsv": "\t"}


def read_prompts(file: str, settings: Prompts) -> tuple[list[str], dict[str, int]]:
    """The prompts in the order of the file, each once, and counts of what was read and left out.

    Args:
        file: `source.prompts`.
        settings: How they are read.

    Raises:
        DataError: The file is missing, damaged, has none of the columns, or no prompt of it is left.
    """
    path = Path(file).expanduser()
    counts: Counter[str] = Counter()
    kept: dict[str, str] = {}
    for text, artist in _texts(path, settings):
        counts["prompts read"] += 1
        if len(text) > _LONGEST:
            counts["prompts too long"] += 1
            continue
        prompt = content_words(text, artist) if settings.content_only else one_line(text)
        words = len(prompt.split())
        if words < settings.min_words:
            counts["prompts too short"] += 1
        elif settings.content_only and says_nothing(prompt):
            counts["prompts without content"] += 1
        elif words > settings.max_words:
            counts["prompts too long"] += 1
        elif kept.setdefault(prompt.casefold(), prompt) is not prompt:
            counts["prompts repeated"] += 1
    if not kept:
        raise DataError(
            f"{path} leaves no prompt ({dict(counts) or 'it is empty'}); it needs one a line, or a table with a column "
            f"of prompts.columns={settings.columns}"
        )
    return list(kept.values()), dict(counts) | {"prompts kept": len(kept)}


def _texts(path: Path, settings: Prompts) -> Iterator[tuple[str, str | None]]:
    """Text and artist of each line or row."""
    if not path.is_file():
        raise DataError(
            f"{path} does not exist. source.prompts is a text file (a prompt a line), or a table (.csv, .tsv, .jsonl, "
            ".parquet) with titles or descriptions, as the metadata of WikiArt has them"
        )
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        yield from _from_rows(_parquet_rows(path, settings), path, settings)
        return
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if suffix in _TABLES:
                yield from _from_rows(csv.DictReader(file, delimiter=_TABLES[suffix]), path, settings)
            elif suffix in (".jsonl", ".ndjson"):
                yield from _from_rows(_json_rows(file, path), path, settings)
            else:
                yield from ((line, None) for line in file if line.strip())
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is damaged or not UTF-8: {error}. Convert it, and repeat the command") from error


def _from_rows(rows: Iterable[dict[str, Any]], path: Path, settings: Prompts) -> Iterator[tuple[str, str | None]]:
    known = False
    columns: set[str] = set()
    for row in rows:
        columns |= {str(name) for name in row}
        known = known or any(name in row for name in settings.columns)
        texts = (row.get(name) for name in settings.columns)
        text = next((text for text in texts if isinstance(text, str) and text.strip()), "")
        artist = row.get(settings.artist_column)
        yield text, artist if isinstance(artist, str) else None
    if columns and not known:
        raise DataError(
            f"{path} has the columns {', '.join(sorted(columns))} and none of prompts.columns={settings.columns}; name "
            "the one that holds titles or descriptions"
        )


def _json_rows(lines: Iterable[str], path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path} is damaged: line {number} is not JSON ({error})") from error
        if not isinstance(row, dict):
            raise DataError(f"{path} is damaged: line {number} is no JSON object")
        yield row


def _parquet_rows(path: Path, settings: Prompts) -> Iterator[dict[str, Any]]:
    folder = ParquetFolder(path.parent, path.name)
    there = folder.columns(path.name)
    wanted = [name for name in there if name in (*settings.columns, settings.artist_column)]
    if not any(name in settings.columns for name in there):
        yield dict.fromkeys(there)  # so that the refusal can list them
        return
    for _, _, cells in folder.rows(path.name, wanted):
        yield cells
