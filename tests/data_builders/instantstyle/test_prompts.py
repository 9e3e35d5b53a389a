"""Prompts from every kind of file, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from data_builders.instantstyle.prompts import read_prompts
from ipai.errors import DataError
from tests.helpers import building


def prompts_of(path: Path, *overrides: str) -> tuple[list[str], dict[str, int]]:
    words = ("task=style", f"source.prompts={path}", *overrides)
    config: Any = building.configure(path.parent, path.parent, *words)
    return read_prompts(config.source.prompts, config.prompts)


ROWS: list[dict[str, Any]] = [
    {"title": "A boat on a lake", "description": "a longer text", "artist": "Claude Monet", "style": "Impressionism"},
    {"title": "", "description": "Monet's wife with a parasol, oil on canvas", "artist": "Claude Monet", "style": ""},
    {"title": None, "description": None, "artist": None, "style": None},
]
WANTED = ["A boat on a lake", "'s wife with a parasol"]


def as_csv(folder: Path) -> Path:
    path = folder / "wikiart.csv"
    lines = ["title,description,artist,style"]
    lines += [",".join(f'"{row[name] or ""}"' for name in row) for row in ROWS]
    path.write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    return path


def as_jsonl(folder: Path) -> Path:
    path = folder / "wikiart.jsonl"
    path.write_text("\n\n".join(json.dumps(row) for row in ROWS))
    return path


def as_parquet(folder: Path) -> Path:
    path = folder / "wikiart.parquet"
    parquet.write_table(pa.Table.from_pylist(ROWS), path)
    return path


@pytest.mark.parametrize("write", [as_csv, as_jsonl, as_parquet])
def test_tables_give_the_first_column_that_holds_text(tmp_path: Path, write: Any) -> None:
    prompts, counts = prompts_of(write(tmp_path))
    assert prompts == WANTED
    assert counts == {"prompts read": 3, "prompts too short": 1, "prompts kept": 2}


def test_a_text_file_has_a_prompt_a_line(tmp_path: Path) -> None:
    path = tmp_path / "prompts"
    path.write_text(
        "a red barn\n\n A  red BARN \nbarn\n" + "word " * 41 + "\n" + "-" * 50_000 + "\ntwo dogs by Ana Lua\r\n",
        encoding="utf-8",
    )
    prompts, counts = prompts_of(path)
    assert prompts == ["a red barn", "two dogs"]
    assert counts == {
        "prompts read": 6,
        "prompts too short": 1,
        "prompts too long": 2,
        "prompts repeated": 1,
        "prompts kept": 2,
    }
    assert "two dogs by Ana Lua" in prompts_of(path, "prompts.content_only=false")[0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.txt", None, "does not exist.*a prompt a line"),
        ("empty.txt", b"", "leaves no prompt"),
        ("short.txt", b"barn\noil on canvas\n", r"leaves no prompt.*'prompts too short': 2"),
        ("latin.txt", b"caf\xe9 au lait\n", "not UTF-8"),
        ("other.csv", b"image,genre\n1,2\n", r"columns genre, image and none of prompts\.columns"),
        ("broken.jsonl", b'{"title": "a red barn"}\n{"tit', "line 2 is not JSON"),
        ("list.jsonl", b"[1]\n", "line 1 is no JSON object"),
        ("broken.parquet", b"PAR1", "no whole Parquet file"),
    ],
)
def test_files_that_give_nothing_are_refused(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        prompts_of(tmp_path / name)


def test_a_parquet_file_without_texts_is_refused_with_its_columns(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"image": [b"x"], "genre": [1]}), tmp_path / "wikiart.parquet")
    with pytest.raises(DataError, match="has the columns genre, image"):
        prompts_of(tmp_path / "wikiart.parquet")


def test_titles_that_name_nothing_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "titles.csv"
    titles = [
        "Untitled (No 8)",
        "Composition VII",
        "Opus 217",
        "Study for Composition No. 3",
        "Boats No 2",
        "Vision I see",
    ]
    path.write_text("title\n" + "\n".join(titles), encoding="utf-8")
    prompts, counts = prompts_of(path)
    assert prompts == ["Boats No 2", "Vision I see"]
    assert counts["prompts without content"] + counts.get("prompts too short", 0) == 4
