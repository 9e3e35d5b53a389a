"""From a run to a folder for the hub and back."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image
from safetensors.torch import load_file

import ipai
from ipai.adapter.adapter import InstructAdapter
from ipai.adapter.formats import save_adapter
from ipai.backbones.families import read_dims
from ipai.conditioning import spec_of
from ipai.config import to_dict
from ipai.errors import CheckpointError, ConfigError, WeightsError
from ipai.pipeline import Condition, attach, exporting, sources
from ipai.pipeline.export_settings import ExportConfig
from ipai.pipeline.exporting import export
from ipai.runs.checkpoint import Progress, save
from ipai.runs.data_sets import SetFacts, write_data_sets
from ipai.schema import typed
from tests.helpers.building import ROOT, environment
from tests.helpers.composing import CONF, compose
from tests.helpers.small_pipeline import PICTURE, adapter_for, draw, make_pipeline

BITS = {"fp32": 0.0, "fp16": 1e-3, "bf16": 1e-2}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of the miniature with one checkpoint."""
    folder = tmp_path_factory.mktemp("template") / "joint"
    config = to_dict(compose("experiment=joint", "recipe=smoke", "data.root=/secret/place", "base.dtype=fp32"))
    (folder / "evaluation").mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(OmegaConf.to_container(OmegaConf.create(config))))
    (folder / "evaluation" / "table.md").write_text("| task | CLIP-I |\n")
    save_adapter(adapter_for(make_pipeline()), folder / "checkpoints-seed.safetensors", {"samples_seen": "192"})
    seed = folder / "checkpoints-seed.safetensors"
    save(
        folder / "checkpoints",
        Progress(24, 192),
        {"adapter.safetensors": lambda path: path.write_bytes(seed.read_bytes())},
        1,
    )
    return folder


@pytest.fixture
def run(template: Path, tmp_path: Path) -> Path:
    """A copy of it, for each test."""
    return Path(shutil.copytree(template, tmp_path / "runs" / "joint"))


def settings(run: Path, **changes: Any) -> ExportConfig:
    plain = {"weights": "ema", "dtype": "fp16", "names": "ip_adapter", "licence": "other"}
    places = {"checkpoint": str(run), "output": str(run.parent / "out")}
    return ExportConfig(**(places | plain | changes))


@pytest.mark.parametrize("dtype", BITS)
def test_round_trip(run: Path, dtype: str) -> None:
    folder = export(settings(run, dtype=dtype))
    ours, theirs = ipai.load(run), ipai.load(folder)
    assert theirs.base == ours.base
    assert theirs.facts == {"samples_seen": "192", "weights": "adapter", "dtype": dtype}
    stored = {tensor.dtype for tensor in load_file(folder / "adapter.safetensors").values()}
    assert stored == {{"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[dtype]}
    for name, tensor in ours.adapter.state_dict().items():
        other = theirs.adapter.state_dict()[name]
        assert other.dtype == torch.float32
        assert (other - tensor).abs().max() <= BITS[dtype] * tensor.abs().max()


def test_the_folder_draws_as_the_run_does(run: Path, pipeline: Any) -> None:
    pictures = []
    for source in (str(run), str(export(settings(run, dtype="fp32")))):
        attached = attach(pipeline, source)
        attached.condition(Condition(PICTURE, "use the style"))
        pictures.append(draw(pipeline))
        attached.detach()
    assert (pictures[0] == pictures[1]).all()


def test_the_card_says_what_the_run_was_and_gives_nothing_away(run: Path) -> None:
    folder = export(settings(run, name="me/mine", data_terms={"style": "CC0 only"}))
    card = (folder / "README.md").read_text()
    for words in ("license: other", "# me/mine", "random weights", "| task | CLIP-I |", "style: CC0 only", "JourneyDB",
                  "joint, recipe smoke", "as trained, fp16", "| 192 |"):  # fmt: skip
        assert words in card
    assert {path.name for path in folder.iterdir()} == {"README.md", "config.yaml", "adapter.safetensors"}
    assert "secret" not in card + (folder / "config.yaml").read_text()


def test_names_of_our_own_are_refused_where_the_instruction_would_be_dropped(run: Path) -> None:
    """diffusers' loader takes the usual names for an IP-Adapter Plus; `attach` reads both."""
    usual, own = export(settings(run)), export(settings(run, output=str(run.parent / "own"), names="own"))
    ours = [ipai.load(folder).adapter.state_dict() for folder in (usual, own)]
    assert ours[0].keys() == ours[1].keys()
    assert all(torch.equal(ours[0][name], ours[1][name]) for name in ours[0])
    pipeline = make_pipeline()
    given = {"subfolder": "", "weight_name": "adapter.safetensors", "image_encoder_folder": None}
    pipeline.load_ip_adapter(str(usual), **given)
    with pytest.raises(KeyError, match="latents"):
        make_pipeline().load_ip_adapter(str(own), **given)
    assert "would drop that branch" in (usual / "README.md").read_text()
    assert "refuse `adapter.safetensors`" in (own / "README.md").read_text()


@pytest.mark.slow
def test_the_cards_snippet_runs(tmp_path: Path) -> None:
    """As it is written, where the folder is known by the name that it gives."""
    config = compose("experiment=joint", "recipe=toy")
    adapter = InstructAdapter(spec_of(config.adapter, config.base, read_dims(config.base)))
    run = tmp_path / "joint"
    save(run / "checkpoints", Progress(1, 32), {"adapter.safetensors": lambda path: save_adapter(adapter, path, {})}, 1)
    (run / "config.yaml").write_text(yaml.safe_dump(to_dict(config)))
    folder = export(settings(run, name="mine", weights="raw", output=str(tmp_path / "mine")))
    PICTURE.save(tmp_path / "photo.png")
    code = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    command = [sys.executable, "-c", f"{code}\npicture.save('drawn.png')"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / "drawn.png").size == (64, 64)


def test_folders_of_the_machine_stay_on_it(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["train"]["init_from"] = "/home/me/runs/first"
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    loaded = ipai.load(run)
    told = replace(loaded, facts=loaded.facts | {"init_from": "/home/me/runs/first"})
    monkeypatch.setattr(exporting, "load", lambda *_, **__: told)
    folder = export(settings(run))
    assert yaml.safe_load((folder / "config.yaml").read_text())["train"]["init_from"] == "first"
    assert ipai.load(folder).facts["init_from"] == "first"
    assert not [path for path in folder.iterdir() if b"/home/me" in path.read_bytes()]


def test_the_card_lists_the_sets_and_their_licences(run: Path) -> None:
    facts = SetFacts("style", "/secret/pictures", 1200, 2, 0.25, {"CC0-1.0": 1000, "not stated": 300})
    write_data_sets(run, {"style/mine": facts, "copy": replace(facts, licences={})})
    card = (export(settings(run)) / "README.md").read_text()
    assert "| style/mine | 1,200 | 25.0% | CC0-1.0: 1,000, not stated: 300 |" in card
    assert "| copy | 1,200 | 25.0% | not stated |" in card
    assert "/secret" not in card


def test_a_sample_grid_goes_into_the_card(run: Path) -> None:
    PICTURE.save(run.parent / "grid.png")
    folder = export(settings(run, samples=str(run.parent / "grid.png")))
    assert "![Samples](samples.png)" in (folder / "README.md").read_text()
    assert (folder / "samples.png").is_file()


def test_from_the_hub(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = export(settings(run))
    monkeypatch.setattr(sources, "resolve_file", lambda ref: folder / ref.filename)
    assert ipai.load("me/mine", revision="main").base.name == "micro-random"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dtype": "int8"}, "dtype=int8"),
        ({"samples": "absent.png"}, "absent.png is no picture"),
        ({"data_terms": {"pose": "x"}}, "data_terms=pose is none of"),
        ({"checkpoint": "absent"}, "is no run folder"),
    ],
)
def test_what_cannot_be_exported_is_said_and_nothing_is_left(run: Path, changes: dict[str, Any], words: str) -> None:
    config = settings(run)
    for key, value in changes.items():
        setattr(config, key, value)
    with pytest.raises(ConfigError, match=words):
        export(config)
    assert [path.name for path in run.parent.iterdir() if path.name not in ("joint", "grid.png")] == []


def test_a_base_on_this_machine_is_not_given_away(run: Path) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["base"]["unet"]["id"] = str(run)
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(ConfigError, match=r"base\.unet\.id=.* give base=sd15"):
        export(settings(run))
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        raw = hydra_compose("export", overrides=[f"checkpoint={run}", f"output={run.parent}/out", "base=sd15"])
    folder = export(typed(raw, ExportConfig))
    assert str(run) not in (folder / "config.yaml").read_text()
    assert "base_model: stable-diffusion-v1-5/stable-diffusion-v1-5" in (folder / "README.md").read_text()


def test_an_export_is_not_overwritten(run: Path) -> None:
    export(settings(run))
    with pytest.raises(ConfigError, match="exists"):
        export(settings(run))


def test_sources_that_are_none(tmp_path: Path, pipeline: Any) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="neither a file nor a run folder"):
        ipai.load(tmp_path / "empty")
    with pytest.raises(WeightsError, match="there is no adapter at"):
        ipai.load(tmp_path / "absent.safetensors")
    save_adapter(adapter_for(pipeline), tmp_path / "adapter.safetensors", {})
    with pytest.raises(ConfigError, match="give base="):
        attach(pipeline, tmp_path / "adapter.safetensors")


def test_importing_the_package_is_instant() -> None:
    code = "import sys, ipai; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
