"""As JourneyDB lies on disk: pictures in numbered tgz archives, one tgz of JSON lines with the repathed annotations."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ipai.toyworld.sources.pictures import Drawn, jpeg, mixed

_ARCHIVES = 4
_ANNOTATIONS = "train_anno_realease_repath.jsonl"  # spelled so by its authors
_FLAGS = ("", " --ar 1:1", " --v 5", ",", ", --q 2 --v 4")


def write_journeydb(folder: Path, samples: int, seed: int, side: int) -> None:
    """Write `data/train` with annotations and archives; every fourth picture repeats the prompt of the one before."""
    train = folder / "data" / "train"
    (train / "imgs").mkdir(parents=True)
    members: dict[str, list[tuple[str, bytes]]] = {f"{number:03d}": [] for number in range(_ARCHIVES)}
    lines, before = [], ""
    for drawn in mixed(seed, samples, side):
        archive = f"{drawn.number % _ARCHIVES:03d}"
        name = hashlib.sha256(f"{seed}/{drawn.number}".encode()).hexdigest()[:32] + ".jpg"
        members[archive].append((f"{archive}/{name}", jpeg(drawn.pixels)))
        prompt = before if drawn.number % 4 == 3 else drawn.caption
        lines.append(json.dumps(_line(drawn, prompt, f"./{archive}/{name}")))
        before = drawn.caption
    _write_tgz(train / f"{_ANNOTATIONS}.tgz", [(_ANNOTATIONS, ("\n".join(lines) + "\n").encode())])
    for archive, files in members.items():
        _write_tgz(train / "imgs" / f"{archive}.tgz", files)


def _line(drawn: Drawn, prompt: str, path: str) -> dict[str, Any]:
    line: dict[str, Any] = {
        "img_path": path,
        "prompt": prompt + _FLAGS[drawn.number % len(_FLAGS)],
        "Task1": {"Style": [], "Content": prompt.split()[-2:], "Atmosphere": [], "Others": []},
        "Task3": {"Content": []},
    }
    if drawn.number % 3:  # missing from some, as in JourneyDB
        line["Task2"] = {"Caption": prompt}
    return line


def _write_tgz(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """The same members give the same bytes: no times, no names of this machine."""
    with (
        path.open("wb") as file,
        gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0, compresslevel=1) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name, content in members:
            header = tarfile.TarInfo(name)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
