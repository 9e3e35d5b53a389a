"""docs/add-a-task.md, done: what the page says is put where it says, and the sixth task is built and trained on."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.building import ROOT, samples_in
from tests.helpers.coco_source import jpeg, textured

pytestmark = [pytest.mark.slow, pytest.mark.long]

PAGE = ROOT / "docs" / "add-a-task.md"
BLOCKS = dict(re.findall(r"^`([^`\n]+)`\n\n```\w+\n(.*?)```$", PAGE.read_text(), re.MULTILINE | re.DOTALL))
# Lines of these are added at the end of what the page names; the others are new files.
ENDS = {"ipai/tasks.py": ("_ALL = (", ")"), "data_builders/registry.py": ("BUILDERS = {", "}")}


def add_lines(path: Path, opening: str, closing: str, lines: str) -> None:
    before, rest = path.read_text().split(f"{opening}\n")
    inside, after = rest.split(f"\n{closing}\n", 1)
    path.write_text(f"{before}{opening}\n{inside}\n{lines}{closing}\n{after}")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the sixth task."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("ipai", "data_builders", "conf", "scripts"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "toy_weights"))
    shutil.copy(ROOT / "train.py", folder)
    (folder / "ipai/backbones/toy_weights").symlink_to(ROOT / "ipai/backbones/toy_weights")
    for name, text in BLOCKS.items():
        if name in ENDS:
            add_lines(folder / name, *ENDS[name], text)
        else:
            (folder / name).write_text(text)
    return folder


def run(project: Path, *words: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(project), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=project, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def test_it_takes_fewer_than_a_hundred_lines() -> None:
    assert len(BLOCKS) == 6
    assert sum(len(text.splitlines()) for text in BLOCKS.values()) < 100


def test_the_sixth_task_is_built_and_trained_on_with_the_others(project: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(20):
        (pictures / f"{number:02}.jpg").write_bytes(jpeg(textured(96, 80, number)))
        (pictures / f"{number:02}.txt").write_text(f"texture number {number}\n")
    where = (f"output={tmp_path}/shards", "image_size=64")
    built = run(project, "scripts/build_datasets.py", "task=colour", f"source.root={pictures}", *where)
    assert "20 samples" in built
    sample = samples_in(tmp_path / "shards" / "colour")["07"]
    assert sample["json"]["prompt"] == "texture number 7"
    stripes = [sample["cond.jpg"].getpixel((4 + 8 * number, 32)) for number in range(8)]
    assert len(set(stripes)) >= 4
    run(project, "scripts/build_datasets.py", "task=rendered_style", "samples=20", *where)
    trained = run(
        project, "train.py", "experiment=joint", "tasks=[style,colour]", "recipe=smoke", "logger=none",
        f"data.root={tmp_path}/shards", f"run={tmp_path}/run", "train.steps=2", "validation.images=0",
        "validation.samples=2", "logger.every=1",
    )  # fmt: skip
    assert (tmp_path / "run/checkpoints/latest/adapter.safetensors").exists(), trained
    assert "loss/task/colour" in (tmp_path / "run/metrics.jsonl").read_text()
