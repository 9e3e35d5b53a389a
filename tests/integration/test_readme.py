"""The README's lines for Python, run as written."""

import re
import subprocess
import sys
from pathlib import Path

import yaml
from PIL import Image

from ipai.adapter import InstructAdapter
from ipai.adapter.formats import save_adapter
from ipai.backbones.families import read_dims
from ipai.conditioning import spec_of
from ipai.config import to_dict
from ipai.runs.checkpoint import Progress, save
from tests.helpers.composing import compose
from tests.integration.conftest import REPOSITORY, environment


def code_of(section: str) -> str:
    text = (REPOSITORY / "README.md").read_text().split(f"## {section}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 1
    return blocks[0]


def test_use_it_in_ten_lines(tmp_path: Path) -> None:
    config = compose("experiment=joint", "recipe=toy")
    adapter = InstructAdapter(spec_of(config.adapter, config.base, read_dims(config.base)))
    run = tmp_path / "runs" / "joint-toy"
    writers = {"adapter.safetensors": lambda path: save_adapter(adapter, path, {})}
    save(run / "checkpoints", Progress(1, 32), writers, keep=1)
    (run / "config.yaml").write_text(yaml.safe_dump(to_dict(config)))
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples")
    code = code_of("Use")
    assert len(code.strip().splitlines()) <= 10
    paths = {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment() | paths,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / "star.png").size == (64, 64)
