"""Shards for measuring: pictures with the size of photographs in bytes and pixels, and nothing to see."""

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image
from webdataset import TarWriter

from ipai.files import atomic_path
from ipai.tasks import get_task

TASKS = ("copy", "style", "structure")  # those whose instructions have no slot: their encodings are all known at start
_SIDE = 512  # px, as the builders write them
_QUALITY = 95


def ensure_shards(folder: Path, samples: int) -> Path:
    """Write one training and one validation shard of `samples` a task, unless they are there."""
    root = folder / f"shards-{samples}"
    for task in TASKS:
        for split, first in (("train", 0), ("val", 10 * samples)):
            path = root / task / f"{split}-000000.tar"
            if not path.exists():
                _write(path, task, range(first, first + (samples if split == "train" else 2)))
    return root


def _write(path: Path, task: str, numbers: range) -> None:
    with atomic_path(path) as aside, aside.open("wb") as file, TarWriter(file, encoder=False, mtime=0) as tar:
        for number in numbers:
            record = {"task": task, "prompt": f"a picture with the number {number}", "slot": None}
            members = {
                "__key__": f"{task}-{number:06d}",
                "json": json.dumps(record).encode(),
                "target.jpg": _photograph(number),
            }
            if not get_task(task).condition_is_target:
                members["cond.jpg"] = _photograph(10**6 + number)
            tar.write(members)


def _photograph(seed: int) -> bytes:
    """A JPEG of smooth colours with fine grain, about 150 kB."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (16, 16, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC), dtype=np.int16)
    grain = random.normal(0, 6, smooth.shape)
    buffer = io.BytesIO()
    Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
