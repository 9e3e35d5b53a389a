"""A disk that fills up while a command writes: one line says where and what to do, and nothing half-written is left.

A limit on the size of a file stands in for the disk: the write fails at the same place, with an error of the system.
"""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import REPOSITORY, environment, training_command

pytestmark = pytest.mark.faults

_LARGEST = 3000  # bytes of a file

COMMANDS = {
    "toy sources": ["scripts/make_toy_sources.py", "output={out}/sources", "samples=20"],
    "a build": ["scripts/build_datasets.py", "task=rendered_style", "output={out}/shards", "limit=30", "image_size=64"],
    "own pictures": ["scripts/build_datasets.py", "task=own_copy", "source.root=examples", "captioner=template",
                     "output={out}/shards", "image_size=64"],
    "a training": training_command(Path("{shards}"), Path("{out}/run")),
    "a training's pictures": [*training_command(Path("{shards}"), Path("{out}/run")), "validation.images=1",
                              "validation.image_every=1", "validation.every=1", "validation.image_steps=1"],
    "the cache": ["scripts/cache_latents.py", "base=micro", "image_tokens=true", "data.workers=0", "data.root={shards}",
                  "data.cache={out}/cache"],
    "an evaluation": ["scripts/evaluate.py", "run={run}", "data.root={shards}", "limit=2", "steps=1", "wandb=off",
                      "output={out}/evaluation", "tasks=[object]"],
    "an export": ["scripts/export.py", "checkpoint={run}", "output={out}/exported", "base=sd15"],
    "a picture": ["scripts/generate.py", "checkpoint={run}", "image=examples/scene-1.png", "instruction=use the style",
                  "steps=1", "seeds=[0,1]", "output={out}/picture.png"],
    "an inspection": ["scripts/inspect_shards.py", "{shards}", "--output", "{out}/page.html"],
    "a figure": ["scripts/figures.py", "figure=5", "run={run}", "data.root={shards}", "output={out}"],
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_it_is_told_in_a_line_and_nothing_half_written_is_left(
    name: str, shards: Path, undisturbed: Path, tmp_path: Path
) -> None:
    places = {"out": tmp_path, "shards": shards, "run": undisturbed.parents[1]}
    words = [word.format(**places) if "{" in word else word for word in COMMANDS[name]]
    done = subprocess.run(
        [sys.executable, *words], cwd=REPOSITORY, env=environment(), capture_output=True, text=True, timeout=300,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST, _LARGEST)),
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    told = done.stderr.strip().splitlines()[-1]
    assert "error: " in told
    assert str(tmp_path) in told
    assert any(mend in told for mend in ("make room", "free space", "choose another"))
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix in (".tmp", ".part")]
    made = [path for path in tmp_path.rglob("*") if path.suffix in (".png", ".safetensors", ".tar", ".npy", ".html")]
    assert all(path.stat().st_size < _LARGEST for path in made)  # whole, as it is smaller than what does not fit
