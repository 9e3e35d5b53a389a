"""As JourneyDB lies on disk: pictures in numbered .tgz archives, and one .tgz of JSON lines that tell of them."""

import gzip
import hashlib
import io
import json
import tarfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ipai.toyworld.factors import BACKGROUNDS, COLOURS, OBJECTS, STYLES
from ipai.toyworld.sources.source_files import Mixture, choices, chunks, draw_mixture, jpeg, variants_of

_ANNOTATIONS = "train_anno_realease_repath.jsonl"  # spelled so by its authors
_ARCHIVES = 4
_NEW_PROMPT = 0.5  # share of the pictures whose prompt is not that of the picture before
_NO_TASK2 = 0.2  # share of the lines without the field
# What users write behind their prompts.
_ENDINGS = (
    "",
    "",
    "",
    ",",
    " , ,",
    " --ar 1:1",
    ", --v 5",
    " --q 2 --s 750",
    " --no text, frame --ar 1:1",
    "::2 --v 4",
)


def write_journeydb(folder: Path, samples: int, seed: int, side: int) -> Iterator[int]:
    """Write `data/train`; yields how many pictures were written since."""
    train = folder / "data" / "train"
    (train / "imgs").mkdir(parents=True)
    starts, wordings, endings, archives, task2 = choices(seed, samples, 5)
    leaders = np.maximum.accumulate(np.where(starts < _NEW_PROMPT, np.arange(samples), 0))
    pictures = draw_mixture(seed, samples).telling_of(leaders)
    prompts = pictures.captions(variants_of(wordings[leaders]))
    captions = pictures.captions(variants_of(wordings), rich=True)
    lines = []
    with ExitStack() as stack:
        tars = [stack.enter_context(_new_tgz(train / "imgs" / f"{number:03d}.tgz")) for number in range(_ARCHIVES)]
        for rows in chunks(samples):
            for row, pixels in zip(range(samples)[rows], pictures[rows].pixels(side), strict=True):
                archive = int(archives[row] * _ARCHIVES)
                name = f"{archive:03d}/{_name(seed, row)}"
                _add(tars[archive], name, jpeg(pixels))
                prompt = prompts[row] + _ENDINGS[int(endings[leaders[row]] * len(_ENDINGS))]
                line = {"img_path": f"./{name}", "prompt": prompt, "Task1": _task1(pictures, row)}
                if task2[row] >= _NO_TASK2:
                    line["Task2"] = {"Caption": captions[row]}
                lines.append(json.dumps(line | {"Task3": {"Style": [], "Content": []}}))
            yield rows.stop - rows.start
    with _new_tgz(train / f"{_ANNOTATIONS}.tgz") as tar:
        _add(tar, _ANNOTATIONS, ("\n".join(lines) + "\n").encode())


def _name(seed: int, row: int) -> str:
    return f"{uuid.UUID(bytes=hashlib.sha256(f'{seed}/{row}'.encode()).digest()[:16])}.jpg"


def _task1(pictures: Mixture, row: int) -> dict[str, Any]:
    if pictures.is_portrait[row]:
        one: Any = pictures.portraits
        content = ["person", "face"]
    else:
        one = pictures.scenes
        content = [OBJECTS[one.object[row]], COLOURS[one.colour[row]]]
    style, background = STYLES[one.style[row]], BACKGROUNDS[one.background[row]]
    return {"Style": [style], "Content": content, "Atmosphere": [background], "Others": []}


@contextmanager
def _new_tgz(path: Path) -> Iterator[tarfile.TarFile]:
    """A .tgz without times and names of a machine: the same members give the same bytes."""
    with (
        path.open("wb") as file,
        gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0, compresslevel=1) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        yield tar


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    header = tarfile.TarInfo(name)
    header.size = len(content)
    tar.addfile(header, io.BytesIO(content))
