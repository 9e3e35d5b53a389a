"""Writes small valid shards for tests, with webdataset's own writer."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from webdataset import TarWriter

from ipai.tasks import get_task


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """An image file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise_image(seed: int, size: int = 16, width: int | None = None) -> Image.Image:
    """Random coloured pixels, `size` high and as wide unless `width` says otherwise."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size, width or size, 3), dtype=np.uint8))


def sample(task: str, index: int, size: int = 16) -> dict[str, Any]:
    """One sample as a shard holds it."""
    slot = "zebra" if get_task(task).slot else None
    record = {"task": task, "prompt": f"picture {index}", "cond_prompt": "a condition", "slot": slot}
    members: dict[str, Any] = {
        "__key__": f"{task}-{index:04d}",
        "json": json.dumps(record).encode(),
        "target.png": encode(noise_image(index, size)),
    }
    if not get_task(task).condition_is_target:
        members["cond.png"] = encode(noise_image(10_000 + index, size))
    return members


def write_shard(path: Path, samples: list[dict[str, Any]]) -> Path:
    """Write samples to one shard, without a sidecar."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file, TarWriter(file, encoder=False, mtime=0) as writer:
        for members in samples:
            writer.write(members)
    return path


def write_shards(root: Path, task: str, count: int, split: str = "train", shards: int = 2, size: int = 16) -> None:
    """Write `count` samples of a task, spread over `shards` files; the splits hold different samples."""
    first = 0 if split == "train" else 5_000
    everything = [sample(task, first + index, size) for index in range(count)]
    for number in range(shards):
        write_shard(root / task / f"{split}-{number:06d}.tar", everything[number::shards])


SHAPES = ((64, 200), (200, 64))
"""Height and width of what `write_shapes` writes, in turns."""


def write_shapes(root: Path, task: str, count: int, split: str = "train") -> None:
    """Write `count` samples of a task to one shard, whose targets are wide and high."""
    samples = []
    for index in range(count):
        number = index + (0 if split == "train" else 5_000)
        height, width = SHAPES[index % len(SHAPES)]
        samples.append(sample(task, number) | {"target.png": encode(noise_image(number, height, width))})
    write_shard(root / task / f"{split}-000000.tar", samples)
