"""The README's lines for Python, and the notebook, run as written."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.integration.conftest import REPOSITORY, environment


def code_of(section: str) -> str:
    text = (REPOSITORY / "README.md").read_text().split(f"## {section}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 1
    return blocks[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where somebody works, with the examples."""
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples")
    return tmp_path


def run_code(code: str, folder: Path) -> None:
    paths = {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=folder, env=environment() | paths, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_use_it_in_ten_lines(folder: Path) -> None:
    code = code_of("Use")
    assert len(code.strip().splitlines()) <= 10
    run_code(code, folder)
    assert Image.open(folder / "star.png").size == (64, 64)


@pytest.mark.slow
def test_the_notebook_runs(folder: Path) -> None:
    cells = json.loads((REPOSITORY / "examples" / "first-pictures.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    shown = [number for number, text in enumerate(code) if text.splitlines()[-1].startswith("grid(")]
    for number in shown:
        head, _, last = code[number].rpartition("\n")
        code[number] = f"{head}\n({last}).save('grid-{number}.png')"
    run_code("\n".join(code), folder)
    assert len(shown) == 3
    assert all(Image.open(folder / f"grid-{number}.png").width == 3 * 64 + 2 * 4 for number in shown)
