"""As midjourney-images lies on disk: a folder of pictures, some of them twice; our captions of them lie beside."""

import json
from pathlib import Path

from ipai.toyworld.sources.pictures import jpeg, mixed, png

_TWICE = 20  # every so many


def write_midjourney(folder: Path, samples: int, seed: int, side: int) -> None:
    """Write `images/` and `captions.jsonl`."""
    (folder / "images").mkdir(parents=True)
    lines = []
    for drawn in mixed(seed, samples, side):
        suffix, content = (".png", png(drawn.pixels)) if drawn.number % 5 == 0 else (".jpg", jpeg(drawn.pixels))
        names = [f"{drawn.number}{suffix}"]
        if drawn.number % _TWICE == 0:
            names.append(f"{drawn.number}-copy{suffix}")
        for name in names:
            (folder / "images" / name).write_bytes(content)
            lines.append(json.dumps({"file_name": f"images/{name}", "text": drawn.caption}))
    (folder / "captions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_prompts(path: Path, samples: int, seed: int) -> None:
    """Art prompts: a text file with one a line."""
    captions = dict.fromkeys(drawn.caption for drawn in mixed(seed, samples, 1))
    path.write_text("\n".join(captions) + "\n", encoding="utf-8")
