"""Writes small JourneyDB sources as the download lies on disk.

`write_journey_source(folder)` is a source that builds without a drop: pass `folder` as `source.root`, and
`source.split=train`. `JourneyWriter` makes a source of exactly the lines and archive members that a test wants.
"""

import io
import json
import tarfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.helpers.coco_source import jpeg, textured

ANNOTATIONS = {"train": "train_anno_realease_repath.jsonl", "valid": "valid_anno_repath.jsonl"}


def write_journey_source(folder: Path, archives: int = 3, pictures: int = 6, prompts: int = 9) -> Path:
    """Write `archives` x `pictures` pictures (about 90 x 70 px) of `prompts` prompts in turn; return the root."""
    writer = JourneyWriter(folder)
    for number in range(archives * pictures):
        writer.picture(number % archives, f"Scene {number % prompts}, a fox in the snow --ar 3:2 --v 5")
    return writer.save()


class JourneyWriter:
    """Collects pictures and annotation lines, and writes them as JourneyDB does when `save` is called."""

    def __init__(self, root: Path, split: str = "train") -> None:
        self.root = root
        self.split = split
        self.folder = root / "data" / split
        self.lines: list[bytes] = []
        self.members: dict[str, list[tuple[str, bytes]]] = defaultdict(list)
        (self.folder / "imgs").mkdir(parents=True)

    def picture(self, archive: int, prompt: Any = "a fox", content: bytes | None = None, **fields: Any) -> str:
        """Add a picture and its line; return its name. `content` is None for a random JPEG, `b""` for no member."""
        number = len(self.lines)
        name = f"{number:08x}-5ce1-4b5c-9b14-0a1b2c3d4e5f.jpg"
        if content is None:
            content = jpeg(textured(90 + number % 7, 70, number))
        if content:
            self.members[f"{archive:03d}"].append((f"{archive:03d}/{name}", content))
        self.line({"img_path": f"./{archive:03d}/{name}", "prompt": prompt} | tasks(number) | fields)
        return name

    def line(self, entry: Any) -> None:
        """Add a line: bytes as they are, anything else as JSON."""
        self.lines.append(entry if isinstance(entry, bytes) else json.dumps(entry).encode())

    def save(self) -> Path:
        """Write the annotation archive and the picture archives; return the root."""
        name = ANNOTATIONS[self.split]
        write_tgz(self.folder / f"{name}.tgz", [(name, b"\n".join(self.lines) + b"\n")])
        for archive, members in self.members.items():
            # Not in the order of the annotations: an archive has its own.
            write_tgz(self.folder / "imgs" / f"{archive}.tgz", [(archive, b""), *reversed(members)])
        return self.root


def tasks(number: int) -> dict[str, Any]:
    """The further fields of a line; `Task2` is not in all of them."""
    style = {"Style": ["photo"], "Content": ["fox"], "Atmosphere": [], "Others": []}
    caption = {"Task2": {"Caption": f"caption {number}"}} if number % 3 else {}
    return {"Task1": style, **caption, "Task3": {"Content": []}}


def write_tgz(path: Path, members: list[tuple[str, bytes]]) -> None:
    """A .tgz of these files; one without content is a folder."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members:
            header = tarfile.TarInfo(name)
            header.size = len(content)
            header.type = tarfile.REGTYPE if content else tarfile.DIRTYPE
            archive.addfile(header, io.BytesIO(content))
