"""A data set in Hugging Face's forms: on the hub, saved to disk, or a folder of Parquet or pictures."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_builders.engine.image_files import read_bytes
from data_builders.engine.records import Drop
from data_builders.own.config import OwnSource
from data_builders.own.rows import PICTURES, Row, flattened, texts_of
from data_builders.own.streamed import first_rows
from ipai.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset

_SAVED = ("state.json", "dataset_dict.json")  # what `save_to_disk` leaves


class HuggingFacePictures:
    """The rows of a data set; a picture is called `SPLIT/ROW/COLUMN`, behind the subset if there is one."""

    def __init__(self, source: OwnSource) -> None:
        self._source = source

    def rows(self) -> list[Row]:
        """A row for each of the data set's; the pictures are not decoded.

        Raises:
            DataError: It is not there, has no such split, or no column of pictures.
        """
        data = self._data()
        pictures = self._pictures(data)
        texts = [name for name, feature in data.features.items() if _is_text(feature)]
        names = {name: feature.names for name, feature in data.features.items() if hasattr(feature, "names")}
        part, rows = "/".join(filter(None, (self._source.subset, self._source.split))), []
        for number, values in enumerate(data.select_columns(texts) if texts else [{}] * len(data)):
            said = {name: _label(value, names.get(name)) for name, value in values.items()}
            where = f"{self._source.root}, row {number}"
            files = {ours: f"{part}/{number}/{column}" for ours, column in pictures.items()}
            rows.append(Row(**files, **texts_of(flattened(said), self._source.renamed, where)))  # type: ignore[arg-type]
        return rows

    def called(self, name: str) -> str:
        """As it is."""
        return name

    def read(self, name: str) -> bytes:
        """The encoded picture in a cell; raises Drop and DataError as `Pictures.read` does."""
        *_, number, column = name.split("/")
        cell = self._data().select_columns([column])[int(number)][column]
        content = cell.get("bytes") if isinstance(cell, dict) else cell
        if content is not None:
            return bytes(content)
        path = cell.get("path") if isinstance(cell, dict) else None
        if path is None:
            raise Drop("missing_file")
        return self._read_file(Path(path))

    def _read_file(self, path: Path) -> bytes:
        """A file that a cell names; a foreign table must not name just any file of this machine."""
        from datasets import config

        own = (Path(self._source.root).expanduser(), config.HF_DATASETS_CACHE, config.HF_CACHE_HOME)
        if not any(path.resolve().is_relative_to(Path(folder).resolve()) for folder in own):
            raise Drop("outside_source")
        return read_bytes(path)

    def _data(self) -> "Dataset":
        source = self._source
        return _opened(source.root, source.subset, source.split, source.revision, source.first)

    def _pictures(self, data: "Dataset") -> dict[str, str]:
        """Ours -> their column."""
        there, columns = _picture_columns(data), self._source.renamed
        found = {name: columns.get(name, name) for name in PICTURES if columns.get(name, name) in there}
        lacking = [name for name in PICTURES if name in columns and name not in found]
        if "target" not in found and "target" not in columns and there:
            found["target"] = next((name for name in there if name not in found.values()), there[0])
        if "target" not in found or lacking:
            name = next(iter(lacking), "target")
            raise DataError(
                f"{self._source.root} has no column of pictures for {name}; it has {', '.join(there) or 'none'}, and "
                f"others: {', '.join(sorted(set(data.column_names) - set(there)))}. Set source.columns.{name}=..."
            )
        return found


def _picture_columns(data: "Dataset") -> list[str]:
    from datasets import Image

    return [name for name, feature in data.features.items() if isinstance(feature, Image) or _is_binary(feature)]


def _is_binary(feature: Any) -> bool:
    return getattr(feature, "dtype", None) in ("binary", "large_binary")


def _is_text(feature: Any) -> bool:
    """Texts, numbers and classes, also in a struct; not pictures, sounds or lists, which reading would decode."""
    from datasets import ClassLabel, Value

    return isinstance(feature, dict | ClassLabel) or (isinstance(feature, Value) and not _is_binary(feature))


def _label(value: Any, names: list[str] | None) -> Any:
    """A class by its name rather than its number; a negative number stands for none."""
    if not names or not isinstance(value, int):
        return value
    return names[value] if value >= 0 else None


@lru_cache(2)
def _opened(root: str, subset: str | None, split: str, revision: str | None, first: int | None) -> "Dataset":
    """The data set with pictures as bytes; raises DataError with what is there instead."""
    from datasets import DatasetDict, Image, load_dataset, load_from_disk
    from datasets.exceptions import DatasetsError

    folder = Path(root).expanduser()
    try:
        if any((folder / name).is_file() for name in _SAVED):
            data = load_from_disk(folder)
        elif first is not None:
            data = first_rows(str(folder) if folder.is_dir() else root, subset, split, revision, first)
        else:
            data = load_dataset(str(folder) if folder.is_dir() else root, subset, revision=revision)
    except (OSError, ValueError, DatasetsError) as error:
        raise DataError(
            f"source.root={root} is neither a data set that was saved to disk, nor one in a folder, nor one that the "
            f"hub has: {' '.join(str(error).split())[:300]}"
        ) from error
    if isinstance(data, DatasetDict):
        if split not in data:
            raise DataError(f"{root} has no split {split!r}; it has {', '.join(data)}: source.split={next(iter(data))}")
        data = data[split]
    if first is not None:
        data = data.select(range(min(first, len(data))))
    for name, feature in data.features.items():
        if isinstance(feature, Image):
            data = data.cast_column(name, Image(decode=False))
    return data
