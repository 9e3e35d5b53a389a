"""What `scripts/generate.py` draws, on the miniature: extras, grids, and the same picture again from its PNG."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusers import ControlNetModel
from hydra import compose, initialize_config_dir
from PIL import Image

from ipai.adapter.adapter import InstructAdapter
from ipai.adapter.formats import save_adapter
from ipai.errors import ConfigError, InstructionError, IpaiError, WeightsError
from ipai.pipeline.drawing import draw
from ipai.pipeline.grid import GAP, grid
from ipai.pipeline.record import read_facts, repeated, write_png
from ipai.pipeline.settings import DrawingConfig
from ipai.schema import typed
from tests.helpers.building import ROOT
from tests.helpers.pipeline_extras import give_controlnet_a_say, write_lora
from tests.helpers.small_pipeline import PICTURE, adapter_for, make_pipeline

BRIEF = ("prompt=a cat", "steps=2", "base=micro", "device=cpu")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an adapter, a condition, a line drawing, a ControlNet and a LoRA."""
    folder = tmp_path_factory.mktemp("drawing")
    pipe = make_pipeline()
    save_adapter(adapter_for(pipe), folder / "adapter.safetensors", {})
    PICTURE.save(folder / "condition.png")
    PICTURE.rotate(90).save(folder / "lines.png")
    give_controlnet_a_say(ControlNetModel.from_unet(pipe.unet)).save_pretrained(folder / "controlnet")
    write_lora(pipe.unet, folder / "lora")
    return folder


def raw_settings(*overrides: str, name: str = "generate") -> Any:
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        return compose(name, overrides=list(overrides))


def wanted(files: Path, output: Path, *overrides: str) -> Any:
    places = (f"checkpoint={files}/adapter.safetensors", f"image={files}/condition.png", f"output={output}")
    words = {word.split("=")[0]: word for word in (*places, *BRIEF, "instruction=[use the style]", *overrides)}
    return raw_settings(*words.values())


def drawn(raw: Any) -> np.ndarray:
    return np.asarray(Image.open(draw(typed(raw, DrawingConfig), lambda: None)).convert("RGB")).astype(int)


@pytest.fixture(scope="module")
def plain(files: Path) -> np.ndarray:
    return drawn(wanted(files, files / "plain.png"))


def test_an_ip_adapter_plus_is_told_nothing(files: Path) -> None:
    spec = replace(adapter_for(make_pipeline()).spec, instruction="none")
    save_adapter(InstructAdapter(spec), files / "plus.safetensors", {})
    plus = f"checkpoint={files}/plus.safetensors"
    assert drawn(wanted(files, files / "told-nothing.png", plus, "instruction=['']", "seeds=[0,1]")).any()
    with pytest.raises(ConfigError, match="takes no instruction"):
        drawn(wanted(files, files / "told.png", plus))
    with pytest.raises(InstructionError, match="empty"):
        drawn(wanted(files, files / "empty.png", "instruction=['']"))


@pytest.mark.parametrize(
    "settings",
    [
        ("controlnet={files}/controlnet", "controlnet_image={files}/lines.png"),
        ("lora={files}/lora",),
        ("scheduler=euler",),
        ("task=structure",),
    ],
    ids=lambda settings: settings[0].split("=")[0],
)
def test_each_setting_counts(files: Path, plain: np.ndarray, tmp_path: Path, settings: tuple[str, ...]) -> None:
    words = [setting.format(files=files) for setting in settings]
    assert np.abs(drawn(wanted(files, tmp_path / "other.png", *words)) - plain).max() > 0


def test_pictures_have_the_shape_that_is_asked_for(files: Path, tmp_path: Path) -> None:
    lines = (f"controlnet={files}/controlnet", f"controlnet_image={files}/lines.png")
    assert drawn(wanted(files, tmp_path / "wide.png", "width=128", *lines)).shape == (64, 128, 3)


def test_a_picture_is_drawn_again_from_its_png(files: Path, tmp_path: Path) -> None:
    first, again, other = (tmp_path / f"{name}.png" for name in ("first", "again", "other"))
    extras = (f"controlnet={files}/controlnet", f"controlnet_image={files}/lines.png", f"lora={files}/lora")
    pixels = drawn(wanted(files, first, *extras, "seeds=[3,4]", "task=object", "four_pass.text=6", "negative=dull"))
    assert set(read_facts(first).sha256) == {"checkpoint", "image", "controlnet_image", "lora"}
    words = [f"repeat={first}", f"output={again}"]
    raw, differing = repeated(raw_settings(*words), words, first)
    assert differing == []
    assert np.array_equal(drawn(raw), pixels)
    assert read_facts(again) == read_facts(first)
    words = [f"repeat={first}", f"output={other}", "seeds=[4]", "four_pass.text=1"]
    raw, _ = repeated(raw_settings(*words), words, first)
    assert (raw.seeds, raw.four_pass.text, raw.four_pass.instruct, raw.negative) == ([4], 1.0, 4.0, "dull")
    assert drawn(raw).shape == (64, 64, 3)


@pytest.mark.parametrize(("key", "name"), [("image", "condition.png"), ("checkpoint", "adapter.safetensors")])
def test_a_file_that_changed_is_refused_unless_it_is_named(files: Path, tmp_path: Path, key: str, name: str) -> None:
    copy = tmp_path / name
    copy.write_bytes((files / name).read_bytes())
    drawn(wanted(files, tmp_path / "first.png", f"{key}={copy}"))
    with copy.open("ab") as file:
        file.write(b"more")
    words = [f"repeat={tmp_path}/first.png"]
    with pytest.raises(ConfigError, match=f"another {key} than"):
        repeated(raw_settings(*words), words, tmp_path / "first.png")
    named = [*words, f"{key}={files / name}"]
    assert repeated(raw_settings(*named), named, tmp_path / "first.png")[0][key] == str(files / name)
    copy.unlink()
    with pytest.raises(IpaiError, match=str(copy)):
        repeated(raw_settings(*words), words, tmp_path / "first.png")


def test_a_picture_of_others_cannot_be_repeated(files: Path) -> None:
    with pytest.raises(ConfigError, match="no PNG of scripts/generate"):
        repeated(raw_settings("repeat=x.png"), [], files / "condition.png")


def test_a_grid_has_a_name_above_each_row_and_column() -> None:
    red, blue = (Image.new("RGB", (64, 64), colour) for colour in ("red", "blue"))
    bare = grid([[red, blue], [blue, red]])
    assert bare.size == (2 * 64 + GAP, 2 * 64 + GAP)
    named = grid([[red, blue], [blue, red]], ["style", "a name that is longer than the row"], ["seed 0", "seed 1"])
    assert named.height == bare.height + 16 * (1 + 1 + 2)
    pixels = np.asarray(named)
    assert (pixels[:32] != 255).any()
    assert tuple(pixels[32, 0]) == (255, 0, 0)
    assert tuple(pixels[-1, -1]) == (255, 0, 0)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        (("scheduler=best",), ConfigError, "scheduler=best is none of ddim"),
        (("guidance=five_pass",), ConfigError, "guidance=five_pass"),
        (("task=pose",), ConfigError, "task=pose is none of"),
        (("height=96",), ConfigError, "height=96 and width=64 must be multiples of 64 px for the base micro-random"),
        (("controlnet=toy",), ConfigError, "go together"),
        (("controlnet=./absent", "controlnet_image={files}/lines.png"), ConfigError, "is no folder"),
        (("output={files}/lines.png/out.png",), ConfigError, "lines.png is no folder"),
        (("lora=absent.safetensors",), ConfigError, "lora=absent.safetensors is not there"),
        (("lora={files}/controlnet",), WeightsError, "cannot be loaded into this base"),
        (("controlnet=toy", "controlnet_image={files}/lines.png"), WeightsError, "use one of this base model"),
        (("controlnet={files}/controlnet", "controlnet_image=absent.png"), ConfigError, "absent.png is no file"),
        (("image=absent.png",), ConfigError, "absent.png is no file"),
        (("instruction=['']",), InstructionError, "empty"),
        (("instruction=['use the {{object}}']",), InstructionError, "give it as object="),
        (("checkpoint=nowhere/to/be/found",), ConfigError, "there is no adapter at"),
        (("base=toy",), WeightsError, "made for a UNet with"),
    ],
)
def test_what_cannot_work_is_said(
    files: Path, tmp_path: Path, settings: tuple[str, ...], error: type[Exception], words: str
) -> None:
    changed = [setting.format(files=files) for setting in settings]
    raw = wanted(files, tmp_path / "out.png", *changed)
    with pytest.raises(error, match=words):
        drawn(raw)
    assert not (tmp_path / "out.png").exists()


def test_the_settings_of_a_foreign_picture_look_nothing_up(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_SECRET", "hidden")
    first, again = tmp_path / "first.png", tmp_path / "again.png"
    drawn(wanted(files, first))
    facts = asdict(read_facts(first))
    facts["settings"] |= {"prompt": "${oc.env:A_SECRET}", "negative": r"\${oc.env:A_SECRET}"}
    with Image.open(first) as picture:
        write_png(picture, facts, first)
    words = [f"repeat={first}", f"output={again}"]
    drawn(repeated(raw_settings(*words), words, first)[0])
    assert read_facts(again).settings["prompt"] == "${oc.env:A_SECRET}"
    assert read_facts(again).settings["negative"] == r"\${oc.env:A_SECRET}"
    assert b"hidden" not in again.read_bytes()


def test_guidance_is_the_bases_own_where_none_is_said(files: Path) -> None:
    """A distilled base guided with another's 5 burns its pictures."""
    said = [typed(wanted(files, files, *more), DrawingConfig).chosen_guidance_scale() for more in ((), ("base=flux",))]
    assert said == [5.0, 1.0]
    assert typed(wanted(files, files, "guidance_scale=3"), DrawingConfig).chosen_guidance_scale() == 3.0
