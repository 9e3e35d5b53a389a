"""The package as others get it: built, unpacked elsewhere, run from another folder."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, folder / name)
    for name in ("conf", "ipai", "data_builders"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    code = "import setuptools.build_meta as made; made.build_wheel('dist')"
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, capture_output=True, timeout=300)
    (wheel,) = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run(installed: Path, cwd: Path, *words: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "ipai", *words]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_it_finds_its_settings_and_its_weights_from_anywhere(installed: Path, tmp_path: Path) -> None:
    assert "recipe: toy" in run(installed, tmp_path, "train", "experiment=joint", "recipe=toy", "--cfg", "job")
    where = run(installed, tmp_path, "build", "task=rendered_style", "output=shards", "samples=6", "image_size=64")
    assert "6 samples" in where
    trained = ("experiment=single_style", "recipe=smoke", "data.root=shards", "train.steps=2", "logger=none")
    run(
        installed,
        tmp_path,
        "train",
        *trained,
        "validation.images=0",
        "validation.samples=1",
        "run=r",
        "checkpoint.every=2",
    )
    assert (tmp_path / "runs/r/checkpoints/latest/adapter.safetensors").is_file()
    shown = run(installed, tmp_path, "runs", "runs")
    assert "finished" in shown
