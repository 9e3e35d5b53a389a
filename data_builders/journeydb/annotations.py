"""JourneyDB's annotation file: where it is, and its lines.

Format: `data/<split>/<file>.jsonl.tgz` holds one `.jsonl`, a line for each picture, of which `img_path`
(`./NNN/<name>.jpg`, NNN the archive) and `prompt` are read.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import IO

from data_builders.journeydb.archives import streamed
from data_builders.journeydb.config import JourneySource
from ipai.errors import DataError

# The misspelling is the data set's own.
FILES = {"train": "train_anno_realease_repath.jsonl.tgz", "valid": "valid_anno_repath.jsonl.tgz"}
_LONGEST_LINE = 1 << 20  # bytes; real ones have a few thousand

_OBTAIN = """How to obtain JourneyDB:
  1. accept its terms on the page of the data set JourneyDB/JourneyDB on Hugging Face and log in (hf auth login)
  2. hf download JourneyDB/JourneyDB --repo-type dataset --local-dir {root} \\
       --include "data/{split}/{file}" "data/{split}/imgs/*.tgz"
     Not all archives are needed: each of the 200 of the training split holds about 22,000 pictures. Fewer archives are
     less to read, and a narrower draw. Do not unpack them.
  3. repeat the command with source.root={root}
Licence: non-commercial research; neither the data nor what is derived from it may be passed on."""


def split_folder(source: JourneySource) -> Path:
    """The folder that holds the annotation file of the split and `imgs/`.

    Raises:
        DataError: There is none; the message says what to download.
    """
    root, file = Path(source.root).expanduser(), FILES[source.split]
    places = [root / "data" / source.split, root / source.split, root]
    for place in places:
        if annotation_file(place, source.split).is_file():
            return place
    plain = [place / name for place in places for name in _other_files(source.split) if (place / name).exists()]
    why = (
        f"{plain[0]} is there, but its paths do not match the archives; the file that does is {file}"
        if plain
        else f"there is no {file} in any of {', '.join(map(str, places))}"
    )
    raise DataError(f"{why}.\n{obtain(source)}")


def annotation_file(folder: Path, split: str) -> Path:
    """The annotation file of a split's folder: packed as it is downloaded, else unpacked."""
    packed = folder / FILES[split]
    plain = packed.with_suffix("")
    return plain if plain.is_file() and not packed.is_file() else packed


def obtain(source: JourneySource) -> str:
    """How to get what is missing."""
    return _OBTAIN.format(root=source.root, split=source.split, file=FILES[source.split])


def annotation_lines(path: Path) -> Iterator[bytes]:
    """The lines of the `.jsonl` in `path`, as they are; of a line over 1 MiB only that much, which is no JSON then.

    Args:
        path: A `.jsonl.tgz`, or the `.jsonl` that was in it.

    Raises:
        DataError: The file is missing, cut short, damaged, or holds no `.jsonl`.
    """
    if path.suffix == ".jsonl":
        try:
            with path.open("rb") as plain:
                yield from _lines(plain)
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror or error}; mend that and repeat") from error
        return
    with streamed(path) as archive:
        for member in archive:
            if member.isfile() and member.name.endswith(".jsonl"):
                file = archive.extractfile(member)
                assert file is not None
                yield from _lines(file)
                return
    raise DataError(f"{path} holds no .jsonl file. Download it anew and repeat the command")


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    while line := file.readline(_LONGEST_LINE):
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = file.readline(_LONGEST_LINE)
        if line.strip():
            yield line


def _other_files(split: str) -> list[str]:
    return [f"{split}_anno.jsonl.tgz", f"{split}_anno.jsonl"]
