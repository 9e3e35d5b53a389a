"""`planning`: what the plan of a million candidates costs each builder, and which of a million pictures are alike.

The sources are lists without pictures, in the forms of the real ones: a plan reads nothing else. Every plan is made by
the real command in a process of its own, with no limit, so that all of it is held.
"""

import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow
from pyarrow import parquet

from benchmarks.options import Options
from benchmarks.report import Report, Row
from ipai.data.likeness import near_pairs
from ipai.errors import IpaiError

_CANDIDATES, _FEW = 1_000_000, 20_000
_ARCHIVES = 20  # of JourneyDB
_FACES = 20  # of a person: 380 pairs
_FILES = 10  # of Parquet
_WITHIN = 3  # bits
_BY = "http://creativecommons.org/licenses/by/2.0/"
_ADJECTIVES = ("red", "tiny", "ancient", "glowing", "quiet", "broken", "golden", "huge")
_NOUNS = ("castle", "robot", "fox", "river", "lamp", "city", "tree", "dragon")
# A process that is begun by a large one is told that it was as large itself: so a small one begins each.
_METER = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print("CPU s", used.ru_utime + used.ru_stime)
print("MiB", used.ru_maxrss >> 10)
sys.exit(code)
"""
_SAID = ("candidates", "records planned", "CPU s", "MiB")
ALIKE = "hashes alike"
_WORDS = {
    "copy": ("task=copy", "source.root={root}"),
    "object": ("task=object", "source.root={root}"),
    "structure": ("task=structure", "source.root={root}", "source.files=*.parquet"),
    "face": ("task=face", "source.root={root}", "pairs.max_per_identity=null"),
    "own_copy": ("task=own_copy", "source.root={root}"),
}
CONTESTANTS = (*_WORDS, ALIKE)
_LANDMARKS = "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x rightmouth_y"


def measure(options: Options, done: Callable[[], object]) -> Report:
    """Plan with each builder, once; then compare the hashes of so many pictures."""
    count = _FEW if options.quick else _CANDIDATES
    rows: list[Row] = []
    for name in options.chosen(list(CONTESTANTS)):
        root = options.work / f"planning-{count}" / name
        if not root.exists():
            aside = root.with_name(f".{name}")
            shutil.rmtree(aside, ignore_errors=True)
            _PREPARE[name](aside, count)
            aside.rename(root)
        rows.append({"plan": name, **(_compare(count) if name == ALIKE else _plan(_WORDS[name], root))})
        done()
    return Report("planning", options.quick, rows, notes=["Lists without pictures; hashes are random numbers."])


def _plan(words: tuple[str, ...], root: Path) -> Row:
    script = Path(__file__).parents[1] / "scripts" / "build_datasets.py"
    command = [sys.executable, str(script), *(word.format(root=root) for word in words), "limit=null", "dry_run=true"]
    done = subprocess.run(
        [sys.executable, "-c", _METER, *command, f"output={root}/out"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise IpaiError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    said = dict(line.rsplit(None, 1) for line in done.stdout.splitlines() if line.startswith(_SAID))
    return {
        "candidates": said["candidates"],
        "planned": said["records planned"],
        "CPU s": float(said["CPU s"]),
        "MiB": int(said["MiB"]),
    }


def _compare(count: int) -> Row:
    hashes = np.unique(np.random.default_rng(0).integers(0, 2**64, count, dtype=np.uint64))
    began = time.process_time()
    near_pairs(hashes, _WITHIN)
    return {"candidates": f"{len(hashes):,}", "planned": None, "CPU s": time.process_time() - began, "MiB": None}


def _prompts(count: int) -> Iterator[str]:
    draw = random.Random(0)
    for number in range(count):
        one, other = (f"{draw.choice(_ADJECTIVES)} {draw.choice(_NOUNS)}" for _ in range(2))
        yield f"{one} beside a {other} number {number}, cinematic --ar 3:2 --v 5"


def _lines(path: Path, lines: Iterator[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)


def _journeydb(root: Path, count: int) -> None:
    folder = root / "data" / "train"
    for archive in range(_ARCHIVES):
        (folder / "imgs" / f"{archive:03d}").mkdir(parents=True)

    def line(number: int, prompt: str) -> str:
        place = f"./{number % _ARCHIVES:03d}/{number:08x}-1f1c-4a1b-9d5e-0123456789ab.jpg"
        return json.dumps({"img_path": place, "prompt": prompt})

    _lines(folder / "train_anno_realease_repath.jsonl", (line(*pair) for pair in enumerate(_prompts(count))))


def _coco(root: Path, count: int) -> None:
    """Seven objects a photograph, as COCO has."""
    (root / "annotations").mkdir(parents=True)
    (root / "train2017").mkdir()
    photos = max(1, count // 7)
    names = [f"{adjective} {noun}" for adjective in _ADJECTIVES for noun in _NOUNS]
    corners = [[120, 80, 320, 80, 320, 300, 120, 300]]
    instances = {
        "licenses": [{"id": 4, "name": "Attribution License", "url": _BY}],
        "categories": [{"id": number, "name": name} for number, name in enumerate(names, 1)],
        "images": [
            {"id": photo, "file_name": f"{photo:012d}.jpg", "width": 640, "height": 480, "license": 4}
            for photo in range(1, photos + 1)
        ],
        "annotations": [
            {
                **{"id": number, "image_id": number % photos + 1, "category_id": number % len(names) + 1},
                **{"iscrowd": 0, "bbox": [120, 80, 200, 220], "area": 30800.0, "segmentation": corners},
            }
            for number in range(count)
        ],
    }
    captions = [{"id": photo, "image_id": photo, "caption": "a thing on a table"} for photo in range(1, photos + 1)]
    for name, content in (("instances", instances), ("captions", {"annotations": captions})):
        (root / "annotations" / f"{name}_train2017.json").write_text(json.dumps(content), encoding="utf-8")


def _commoncatalog(root: Path, count: int) -> None:
    root.mkdir(parents=True)
    prompts = list(_prompts(count))
    for part in range(_FILES):
        numbers = range(part * count // _FILES, (part + 1) * count // _FILES)
        columns = {
            "photoid": [str(10**9 + number) for number in numbers],
            "blip2_caption": [prompts[number] for number in numbers],
            "licenseurl": [_BY] * len(numbers),
            "sha256": [f"{number:064x}" for number in numbers],
            "jpg": [b"\xff\xd8"] * len(numbers),
        }
        parquet.write_table(pyarrow.table(columns), root / f"part-{part:05d}.parquet", row_group_size=20_000)


def _celeba(root: Path, count: int) -> None:
    """So many pictures that there are `count` ordered pairs."""
    (root / "img_align_celeba").mkdir(parents=True)
    pictures = count // (_FACES - 1)
    names = [f"{number:06d}.jpg" for number in range(1, pictures + 1)]
    attributes = [*(f"Attribute_{number}" for number in range(39)), "Male"]
    said = " ".join(["1", "-1"] * 20)
    _lines(root / "identity_CelebA.txt", (f"{name} {place // _FACES + 1}" for place, name in enumerate(names)))
    _lines(root / "list_eval_partition.txt", (f"{name} 0" for name in names))
    head = [str(pictures), " ".join(attributes)]
    _lines(root / "list_attr_celeba.txt", iter([*head, *(f"{name} {said}" for name in names)]))
    points = (f"{name} 69 109 106 113 77 142 73 152 108 154" for name in names)
    _lines(root / "list_landmarks_align_celeba.txt", iter([str(pictures), _LANDMARKS, *points]))


def _metadata(root: Path, count: int) -> None:
    rows = (
        json.dumps({"file_name": f"{number // 1000}/{number}.jpg", "text": prompt})
        for number, prompt in enumerate(_prompts(count))
    )
    _lines(root / "metadata.jsonl", rows)


def _nothing(root: Path, _count: int) -> None:
    root.mkdir(parents=True)


_PREPARE: dict[str, Callable[[Path, int], None]] = {
    "copy": _journeydb,
    "object": _coco,
    "structure": _commoncatalog,
    "face": _celeba,
    "own_copy": _metadata,
    ALIKE: _nothing,
}
