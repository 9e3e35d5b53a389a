"""What must not change by a byte when walls are moved: run it before and after, on one machine, and compare.

    python -m tests.pinned_results            # prints a digest a line

The five toy data sets, the adapter of forty smoke steps on them, the scores of its evaluation, and a picture. In fp32
on one thread of a CPU; another processor or another torch gives other digests, so none are kept here.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

REPOSITORY = Path(__file__).parents[1]
_STEPS = 40
# Of scores.json: what says of the machine and the checkout rather than of the adapter.
_PASSING = ("git", "versions", "models", "adapter_sha256")


def main() -> None:
    """Make everything in a folder that is thrown away, and print the digests."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _run(folder, "scripts/make_toy_sources.py", "output=sources", "samples=40")
        _run(folder, "scripts/build_datasets.py", "recipe=toy", "all.sources=sources", "output=shards", "limit=24")
        for path in sorted((folder / "shards").glob("*/*.tar")):
            _say(path.relative_to(folder), path.read_bytes())
        _run(
            folder, "train.py", "experiment=joint", "recipe=smoke", "data.root=shards", f"train.steps={_STEPS}",
            f"run={folder}/run", "logger=none", "validation.every=20", "checkpoint.every=20",
        )  # fmt: skip
        for file in ("adapter", "ema", "optimizer"):
            path = folder / "run" / "checkpoints" / "latest" / f"{file}.safetensors"
            if path.exists():
                _say(path.name, path.read_bytes())
        metrics = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
        losses = [{key: line[key] for key in line if key.startswith(("loss", "validation"))} for line in metrics]
        _say("losses", json.dumps(losses, sort_keys=True).encode())
        _run(folder, "scripts/evaluate.py", "run=run", "limit=4", "steps=2", "crossed=2", "device=cpu")
        scores = json.loads((folder / "run" / "evaluation" / "scores.json").read_text())
        _say("scores.json", json.dumps({k: v for k, v in scores.items() if k not in _PASSING}, sort_keys=True).encode())
        condition = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
        Image.fromarray(condition).save(folder / "condition.png")
        _run(
            folder, "scripts/generate.py", "checkpoint=run", "image=condition.png", "instruction=use the style",
            "prompt=a red star", "steps=4", "output=picture.png", "device=cpu", "task=object", "object=cat",
        )  # fmt: skip
        with Image.open(folder / "picture.png") as picture:
            _say("picture.png", np.asarray(picture).tobytes())


def _run(folder: Path, script: str, *words: str) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / script), *words], cwd=folder, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{script} {' '.join(words)} ended with {done.returncode}:\n{done.stderr[-3000:]}")


def _say(name: object, content: bytes) -> None:
    print(f"{hashlib.sha256(content).hexdigest()[:16]}  {name}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
