"""The first rows of a data set of the hub, without the rest of it: streamed once, and kept as Parquet files.

They lie in the cache (`~/.cache/ipai/streams`), a file for every few hundred rows; a stream that was cut off goes on
behind the last whole file.
"""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import HfApi

from data_builders.engine.keyed_hash import digest_of
from data_builders.engine.listing import listed
from ipai.files import atomic_path, cache_folder, write_json

if TYPE_CHECKING:
    from datasets import Dataset

_ROWS = 500  # a file
_BEGUN, _DONE = "begun.json", "complete.json"


def first_rows(root: str, subset: str | None, split: str, revision: str | None, count: int) -> "Dataset":
    """The first `count` rows of a split, or all where it has fewer; pictures are not decoded.

    Raises:
        OSError, ValueError, DatasetsError: As `datasets.load_dataset`.
    """
    from datasets import Dataset

    place = Path(root).expanduser()
    local = sorted(listed(place.absolute())) if place.is_dir() else None  # where a file may change
    folder = cache_folder() / "streams" / digest_of([root, local, subset, split, revision, count])
    if not (folder / _DONE).is_file():
        _fetch(folder, root, subset, split, revision, count)
    return Dataset.from_parquet([str(path) for path in _files(folder)])


def _fetch(folder: Path, root: str, subset: str | None, split: str, revision: str | None, count: int) -> None:
    from datasets import Dataset, Image, load_dataset

    commit = _commit(folder, root, revision)
    stream = load_dataset(root, subset, split=split, revision=commit, streaming=True)
    for name, feature in (stream.features or {}).items():
        if isinstance(feature, Image):
            stream = stream.cast_column(name, Image(decode=False))
    there = len(_files(folder)) * _ROWS  # each but the last is full, and after the last the folder is complete
    rows: Iterator[Any] = iter(stream.skip(there).take(max(count - there, 0)))
    for number, some in enumerate(_batched(rows, _ROWS), start=there // _ROWS):
        with atomic_path(folder / f"rows-{number:06d}.parquet") as part:
            Dataset.from_list(some, features=stream.features).to_parquet(str(part))
    write_json(folder / _DONE, {"root": root, "subset": subset, "split": split, "revision": commit, "count": count})


def _commit(folder: Path, root: str, revision: str | None) -> str | None:
    """The commit that a stream into this folder began with: a branch may move on before it is whole."""
    if Path(root).expanduser().is_dir():
        return revision
    noted = folder / _BEGUN
    if not noted.is_file():
        write_json(noted, {"revision": HfApi().dataset_info(root, revision=revision).sha})
    found: str = json.loads(noted.read_text(encoding="utf-8"))["revision"]
    return found


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("rows-*.parquet"))


def _batched(rows: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while some := list(islice(rows, size)):
        yield some
