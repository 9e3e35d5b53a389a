"""As midjourney-images lies on disk, a folder of pictures with some of them twice; and what a style task needs besides.

Besides: captions of the pictures, which the real ones have not, and a file of art prompts.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from ipai.toyworld.sources.source_files import choices, chunks, draw_mixture, jpeg, png, variants_of

_PNGS = 0.3  # share of the files
_TWICE = 25  # of so many files the last is a copy of the first
_FIRST_PART = 10  # an empty line follows so many prompts


def write_midjourney(folder: Path, samples: int, seed: int, side: int) -> Iterator[int]:
    """Write `images/` and `captions.jsonl`; yields how many pictures were written since."""
    (folder / "images").mkdir(parents=True)
    forms, wordings = choices(seed, samples, 2)
    pictures = draw_mixture(seed, samples)
    captions = pictures.captions(variants_of(wordings))
    names = [f"images/{row:06d}.{'png' if forms[row] < _PNGS else 'jpg'}" for row in range(samples)]
    for rows in chunks(samples):
        for row, pixels in zip(range(samples)[rows], pictures[rows].pixels(side), strict=True):
            first = row - _TWICE + 1
            if row % _TWICE == _TWICE - 1:
                names[row] = names[row].replace(names[row][-4:], names[first][-4:])
                captions[row] = captions[first]
                shutil.copyfile(folder / names[first], folder / names[row])
            else:
                (folder / names[row]).write_bytes((png if names[row].endswith("png") else jpeg)(pixels))
        yield rows.stop - rows.start
    lines = [json.dumps({"file_name": name, "text": text}) for name, text in zip(names, captions, strict=True)]
    (folder / "captions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_prompts(path: Path, samples: int, seed: int, _side: int) -> Iterator[int]:
    """Write art prompts, one a line, some of them more than once; yields their number."""
    (wordings,) = choices(seed, samples, 1)
    prompts = draw_mixture(seed, samples).captions(variants_of(wordings))
    prompts.insert(_FIRST_PART, "")
    path.write_text("\n".join(prompts) + "\n", encoding="utf-8")
    yield samples
