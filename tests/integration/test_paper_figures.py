"""The ready commands for the cells of the paper's Figures 9 and 10 are commands that `ipai generate` takes."""

import json
import subprocess
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from ipai.command_line import readable
from ipai.pipeline.settings import DrawingConfig
from ipai.schema import typed
from ipai.tasks import TASKS
from tests.helpers.building import environment
from tests.helpers.composing import CONF
from tests.integration.conftest import REPOSITORY


def drawings(script: str, tmp_path: Path, *words: str) -> list[DrawingConfig]:
    """What the script asks to be drawn."""
    recorder = tmp_path / "recorder.py"
    recorder.write_text(
        "import json, sys\nfrom pathlib import Path\n"
        f"with Path({str(tmp_path / 'asked')!r}).open('a') as file: file.write(json.dumps(sys.argv[1:]) + '\\n')\n"
    )
    command = ["bash", str(REPOSITORY / "examples" / "paper-figures" / script), *words]
    done = subprocess.run(
        command, env=environment() | {"GENERATE": f"python3 {recorder}"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        asked = [json.loads(line) for line in (tmp_path / "asked").read_text().splitlines()]
        return [typed(compose("generate", overrides=readable(words, CONF)), DrawingConfig) for words in asked]


def test_figure_9_has_ten_cells_of_five_tasks(tmp_path: Path) -> None:
    cells = drawings("figure-9.sh", tmp_path, "runs/joint-paper", "bird.png", "zebra.png", "steps=50", "device=cpu")
    assert [(cell.image, cell.task) for cell in cells] == [
        (image, task) for image in ("bird.png", "zebra.png") for task in TASKS
    ]
    assert len({cell.output for cell in cells}) == 10
    assert {cell.steps for cell in cells} == {50}
    assert cells[7].instruction == ["use the zebra"]
    assert cells[8].prompt == "A dog's face"


def test_figure_10_has_two_styles_and_two_faces_with_their_controlnets(tmp_path: Path) -> None:
    pictures = ("style.png", "scribble.png", "face.png", "pose.png")
    cells = drawings("figure-10.sh", tmp_path, "runs/joint-paper", *pictures)
    assert [(cell.task, cell.image, cell.controlnet_image) for cell in cells] == [
        *[("style", "style.png", "scribble.png")] * 2, *[("face", "face.png", "pose.png")] * 2,
    ]  # fmt: skip
    assert cells[0].controlnet == "lllyasviel/sd-controlnet-scribble"
    assert cells[3].controlnet == "lllyasviel/control_v11p_sd15_openpose"


@pytest.mark.parametrize("script", ["figure-9.sh", "figure-10.sh"])
def test_too_few_words_end_it(script: str, tmp_path: Path) -> None:
    command = ["bash", str(REPOSITORY / "examples" / "paper-figures" / script), "runs/x"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode != 0
