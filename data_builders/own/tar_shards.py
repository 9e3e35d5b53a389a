"""Shards that others wrote, such as img2dataset's: tars of `KEY.jpg`, `KEY.txt` and `KEY.json`, read where they lie."""

import json
import tarfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from data_builders.own.config import OwnSource
from data_builders.own.folder import suffixes
from data_builders.own.rows import PICTURES, Row, flattened, texts_of
from ipai.errors import DataError

_MOST = 1 << 20  # bytes of a member that is text

Place = tuple[int, int]
"""Offset and size of a member in its shard."""


class ShardPictures:
    """The samples of the tars below a folder; a picture is called `SHARD/MEMBER`.

    A row's names also say where in the shard the bytes lie (`SHARD/MEMBER@OFFSET+SIZE`): to look for them again would
    read the shard's headers again for nearly every picture, as the builder takes them in another order.
    """

    def __init__(self, source: OwnSource) -> None:
        self._source = source
        self._root = Path(source.root).expanduser()

    def rows(self) -> list[Row]:
        """A row for each sample that holds a picture, in the order of the shards' names and the samples in them.

        Raises:
            DataError: There is no shard, or one is cut off; or no sample holds a picture under the name that is asked.
        """
        if not self._root.is_dir():
            raise DataError(f"source.root={self._source.root} is no folder; give the one that holds the shards")
        shards = sorted(self._root.rglob("*.tar"))
        if not shards:
            raise DataError(f"there is no .tar below {self._root}")
        rows = [row for shard in shards for row in self._rows_in(shard)]
        if not rows:
            raise DataError(
                f"no sample in {shards[0]} holds a picture called {self._source.renamed.get('target', 'KEY.jpg')}; it "
                f"holds {', '.join(sorted(_kinds(shards[0])))}: say which with source.columns.target=jpg"
            )
        return rows

    def called(self, name: str) -> str:
        """Without the place."""
        return name.rpartition("@")[0]

    def read(self, name: str) -> bytes:
        """The bytes of a member; raises DataError as `Pictures.read` does."""
        member, _, place = name.rpartition("@")
        offset, _, size = place.partition("+")
        return _part(self._root / f"{member.partition('.tar/')[0]}.tar", int(offset), int(size))

    def _rows_in(self, shard: Path) -> Iterator[Row]:
        name, columns = shard.relative_to(self._root).as_posix(), self._source.renamed
        for key, members in _samples(shard).items():
            pictures = {ours: _picture(ours, columns, members) for ours in PICTURES}
            if pictures["target"] is None:
                continue
            where = f"{shard}, sample {key}"
            values = flattened({kind: _text(shard, kind, place) for kind, place in members.items() if _is_text(kind)})
            files = {
                ours: f"{name}/{key}.{kind}@{members[kind][0]}+{members[kind][1]}"
                for ours, kind in pictures.items()
                if kind is not None
            }
            yield Row(**files, **texts_of(values, columns, where))  # type: ignore[arg-type]


def _picture(ours: str, columns: Mapping[str, str], members: Mapping[str, Place]) -> str | None:
    """Which member is the target, the condition or the mask of a sample."""
    if ours in columns:
        return columns[ours] if columns[ours] in members else None
    found = [kind for kind in members if f".{kind.rpartition('.')[2]}".lower() in suffixes()]
    if ours == "target":
        return next((kind for kind in found if "." not in kind or kind.startswith(("target.", "image."))), None)
    return next((kind for kind in found if kind.startswith((f"{ours}.", f"{ours[:4]}."))), None)


def _members(shard: Path) -> dict[str, Place]:
    """Every file of a shard, by its whole name."""
    try:
        with tarfile.open(shard, mode="r:") as tar:
            return {member.name: (member.offset_data, member.size) for member in tar if member.isfile()}
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(
            f"{shard} is damaged or cut off ({error}); download it again, or take it out of the folder"
        ) from error


def _samples(shard: Path) -> dict[str, dict[str, Place]]:
    """Key -> kind -> place; as in WebDataset, the first dot of the file's name parts the two."""
    found: dict[str, dict[str, Place]] = defaultdict(dict)
    for name, place in _members(shard).items():
        folder, _, file = name.rpartition("/")
        key, _, kind = file.partition(".")
        found[f"{folder}/{key}" if folder else key][kind] = place
    return found


def _kinds(shard: Path) -> set[str]:
    return {kind for members in _samples(shard).values() for kind in members}


def _is_text(kind: str) -> bool:
    return kind.rpartition(".")[2].lower() in ("txt", "json", "caption", "cls")


def _text(shard: Path, kind: str, place: Place) -> Any:
    """A text, or what a JSON member holds; None where it is neither, or larger than any caption."""
    offset, size = place
    if size > _MOST:
        return None
    try:
        content = _part(shard, offset, size).decode("utf-8-sig")
        return json.loads(content) if kind.endswith("json") else content
    except (ValueError, RecursionError):
        return None


def _part(shard: Path, offset: int, size: int) -> bytes:
    try:
        with shard.open("rb") as file:
            file.seek(offset)
            content = file.read(size)
    except OSError as error:
        raise DataError(f"cannot read {shard}: {error.strerror or error}; mend that and repeat the command") from error
    if len(content) != size:
        raise DataError(f"{shard} became shorter while it was read; restore it and repeat the command")
    return content
