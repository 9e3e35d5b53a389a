"""The toy stack trained by the real command, so briefly that it is good for nothing, and used."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from hydra import compose, initialize_config_dir

from ipai.errors import WeightsError
from ipai.schema import typed
from tests.helpers.building import ROOT
from tests.helpers.shared_folder import made_once
from tools.toy_stack.train import StackConfig, StackTraining
from tools.toy_stack.write import write_stack

PARTS = (
    "vae",
    "clip",
    "clip_text",
    "decoder",
    "unet",
    "transformer",
    "ip_adapter",
    "ip_adapter_detail",
    "transformer_ip_adapter",
    "transformer_ip_adapter_detail",
    "controlnet",
    "oracles",
)
SMALL = (
    *(f"{part}.{setting}" for part in PARTS for setting in ("steps=2", "batch_size=4")),
    *("scenes=60", "portraits=30", "samples=2", "vae_gate=false", "threads=1"),
)


def train(folder: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    script = str(ROOT / "scripts" / "train_toy_stack.py")
    words = [sys.executable, script, *SMALL, f"output={folder}/stack", f"work={folder}/work", *overrides]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False)


def weights(folder: Path) -> dict[str, str]:
    files = (folder / "stack").rglob("*.safetensors")
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(folder: Path) -> None:
        done = train(folder)
        assert done.returncode == 0, done.stderr[-3000:]

    return made_once(tmp_path_factory, "toy-stack", make)


@pytest.mark.ci
@pytest.mark.long
def test_the_stack_lies_in_the_hubs_layout_with_card_and_scores(trained: Path) -> None:
    stack = trained / "stack"
    pipeline = StableDiffusionPipeline.from_pretrained(stack, torch_dtype=torch.float32, local_files_only=True)
    assert pipeline("a red star", num_inference_steps=1, output_type="np").images.shape == (1, 64, 64, 3)
    scores = json.loads((stack / "scores.json").read_text())
    assert set(scores) == {
        "settings",
        "oracles",
        "vae",
        "clip",
        "text_to_image",
        "transformer",
        "controlnet",
        "ip_adapter",
        "transformer_ip_adapter",
    }
    assert scores["settings"]["samples"] == 2
    assert "steps" in (stack / "README.md").read_text()
    page = (trained / "work" / "report" / "index.html").read_text()
    assert page.count("data:image/png;base64,") == 2 + len(PARTS) + 1  # two oracles
    assert [path.name for path in stack.parent.iterdir() if path.name.startswith(".")] == []


@pytest.mark.ci
@pytest.mark.long
def test_written_again_from_the_states_the_weights_are_the_same(trained: Path, tmp_path: Path) -> None:
    """Nothing is trained twice, and nothing changes on the way: a step would report."""
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        raw = compose("toy_stack", overrides=[*SMALL, f"work={trained}/work"])
    write_stack(StackTraining(typed(raw, StackConfig), pytest.fail), tmp_path / "stack")
    assert weights(tmp_path) == weights(trained)


@pytest.mark.long
def test_a_vae_that_a_linear_code_beats_is_refused(trained: Path) -> None:
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        raw = compose("toy_stack", overrides=[*SMALL, f"work={trained}/work", "vae_gate=true"])
    with pytest.raises(WeightsError, match="is above the best linear code's"):
        _ = StackTraining(typed(raw, StackConfig), pytest.fail).vae


def test_an_unknown_setting_ends_with_2_and_its_name(tmp_path: Path) -> None:
    done = train(tmp_path, "unet.stepps=3")
    assert done.returncode == 2
    assert "unet.stepps" in done.stderr
    assert "Traceback" not in done.stderr
