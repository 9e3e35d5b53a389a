"""As CelebA lies on disk: aligned pictures of 178 x 218 px, and text files of identities, landmarks and attributes."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from ipai.toyworld.factors import Portraits, draw_portraits
from ipai.toyworld.layers import landmarks_of
from ipai.toyworld.render import render
from ipai.toyworld.sources.people import ATTRIBUTES, attributes_of, looks_of, pictures_each
from ipai.toyworld.sources.source_files import jpeg, shuffled

WIDTH, HEIGHT = 178, 218
_ABOVE = (HEIGHT - WIDTH) // 2  # px above and below the square picture, filled with its edge as in CelebA itself
_AT_ONCE = 64
_NUMBERS = 10_177  # of identities, as in CelebA
_POINTS = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
_BOX, _BAD_BOX = (95, 71, 226, 313), (320, 828, 0, 0)  # of the pictures before they were aligned


def write_celeba(folder: Path, samples: int, seed: int, side: int) -> Iterator[int]:
    """Write `img_align_celeba` and the tables; yields how many pictures were written since.

    The pictures are enlarged to CelebA's size, whatever the other sources have: cut square and made small again, a
    portrait is what the toy stack was trained on.
    """
    pictures = folder / "img_align_celeba"
    pictures.mkdir(parents=True)
    counts = pictures_each(samples, seed)
    owners = _in_files_order(counts, seed)
    looks = looks_of(len(counts), seed)
    faces = replace(draw_portraits(seed, 0, samples), **{name: values[owners] for name, values in looks.items()})
    names = [f"{number:06d}.jpg" for number in range(1, samples + 1)]
    _write_tables(folder, names, faces, owners, seed)

    def write(start: int) -> int:
        rows = slice(start, start + _AT_ONCE)
        for name, pixels in zip(names[rows], render(faces[rows], side), strict=True):
            (pictures / name).write_bytes(jpeg(_as_aligned(pixels)))
        return len(names[rows])

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        try:
            yield from threads.map(write, range(0, samples, _AT_ONCE))
        finally:
            threads.shutdown(cancel_futures=True)


def _as_aligned(pixels: np.ndarray) -> np.ndarray:
    """A square picture enlarged to CelebA's width, with its edge repeated above and below."""
    square = np.asarray(Image.fromarray(pixels).resize((WIDTH, WIDTH), Image.Resampling.BICUBIC))
    return np.pad(square, ((_ABOVE, _ABOVE), (0, 0), (0, 0)), mode="edge")


def _in_files_order(counts: np.ndarray, seed: int) -> np.ndarray:
    """The person on each picture: partition after partition, in each of them mixed."""
    owners = np.repeat(np.arange(len(counts)), counts)
    mixed = owners[shuffled(seed, len(owners))]
    return mixed[np.argsort(_partition(mixed, len(counts)), kind="stable")]


def _partition(person: np.ndarray, people: int) -> np.ndarray:
    """0, 1 or 2: train, val and test, with eight, one and one tenth of the persons."""
    return np.digitize(person / people, [0.8, 0.9])


def _write_tables(folder: Path, names: Sequence[str], faces: Portraits, owners: np.ndarray, seed: int) -> None:
    people = int(owners.max()) + 1
    points = np.round(landmarks_of(faces) * WIDTH + [0, _ABOVE]).astype(int).reshape(len(names), -1)
    boxes = [_BOX] * (len(names) - 1) + [_BAD_BOX]
    columns = [f"{point}_{axis}" for point in _POINTS for axis in "xy"]
    for stem, header, rows in (
        ("identity_CelebA", (), (1 + shuffled(seed, _NUMBERS))[owners, None]),
        ("list_eval_partition", (), _partition(owners, people)[:, None]),
        ("list_landmarks_align_celeba", columns, points),
        ("list_bbox_celeba", ("image_id", "x_1", "y_1", "width", "height"), np.array(boxes)),
        ("list_attr_celeba", ATTRIBUTES, attributes_of(faces)),
    ):
        _write_table(folder / f"{stem}.txt", header, names, rows)


def _write_table(path: Path, header: Sequence[str], names: Sequence[str], rows: np.ndarray) -> None:
    """A line for each picture; before them, where there is a header, their number and the header."""
    head = [str(len(names)), " ".join(header)] if header else []
    lines = [
        " ".join([name, *(f"{value:>2}" for value in row)]) for name, row in zip(names, rows.tolist(), strict=True)
    ]
    path.write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")
