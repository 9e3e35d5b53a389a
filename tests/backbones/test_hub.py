import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ipai.backbones.hub as hub
from ipai.backbones.config import BaseConfig, WeightsFile, WeightsRef, weights_of
from ipai.backbones.families import load_base
from ipai.backbones.hub import locate, resolve_file
from ipai.backbones.sd15 import StableDiffusion15
from ipai.errors import WeightsError


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """An empty cache and an unreachable hub; returns the addresses that were asked for."""
    asked: list[str] = []

    def refuse(url: str) -> Any:
        asked.append(url)
        raise ConnectionError("no route to host")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty-cache"))
    monkeypatch.setattr(hub, "get_hf_file_metadata", refuse)
    return asked


def on_the_hub(config: BaseConfig) -> BaseConfig:
    refs = {part: WeightsRef("nobody/nothing", "c0ffee", part) for part in weights_of(config)}
    return replace(config, **refs)


def test_offline_names_every_part_and_asks_once(config: BaseConfig, no_network: list[str]) -> None:
    start = time.perf_counter()
    with pytest.raises(WeightsError) as caught:
        load_base(on_the_hub(config), "cpu")
    assert time.perf_counter() - start < 5
    assert len(no_network) == 1
    message = str(caught.value)
    for part in StableDiffusion15.parts:
        assert f"- {part} from nobody/nothing (subfolder {part}, revision c0ffee): not in the cache" in message
    assert "no route to host" in message
    assert "base.<part>.id" in message


def test_a_folder_without_the_files_is_told_which(
    micro_folder: Path, config_at: Callable[[Path], BaseConfig], tmp_path: Path
) -> None:
    shutil.copytree(micro_folder, tmp_path / "copy")
    (tmp_path / "copy" / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    shutil.rmtree(tmp_path / "copy" / "vae")
    (tmp_path / "copy" / "tokenizer" / "tokenizer.json").unlink()
    with pytest.raises(WeightsError, match=r"lacks 3 part\(s\)") as caught:
        load_base(config_at(tmp_path / "copy"), "cpu")
    assert "unet lacks diffusion_pytorch_model.safetensors" in str(caught.value)
    assert f"there is no folder {tmp_path / 'copy' / 'vae'}" in str(caught.value)
    assert "- tokenizer" in str(caught.value)
    assert "- text_encoder" not in str(caught.value)


def test_a_path_that_is_no_folder_is_not_asked_of_the_hub(config: BaseConfig, no_network: list[str]) -> None:
    with pytest.raises(WeightsError, match="there is no such folder"):
        locate(replace(config, unet=WeightsRef("~/no/such/folder")), ["unet"])
    assert no_network == []


def test_an_id_that_is_none_is_named(config: BaseConfig, no_network: list[str]) -> None:
    with pytest.raises(WeightsError, match="neither a folder nor a hub id"):
        locate(replace(config, unet=WeightsRef("bad id!")), ["unet"])
    assert no_network == []


def test_relative_and_home_folders_are_found(
    config: BaseConfig, micro_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(micro_folder.parent)
    monkeypatch.setenv("HOME", str(micro_folder.parent))
    for name in (micro_folder.name, f"./{micro_folder.name}", f"~/{micro_folder.name}"):
        found = locate(replace(config, vae=WeightsRef(name, subfolder="vae")), ["vae"])["vae"]
        assert found.resolve() == (micro_folder / "vae").resolve()


def test_a_cached_snapshot_needs_no_network(
    config: BaseConfig, micro_folder: Path, no_network: list[str], tmp_path: Path
) -> None:
    snapshot = tmp_path / "empty-cache" / "models--nobody--nothing" / "snapshots" / ("0" * 40)
    shutil.copytree(micro_folder, snapshot)
    parts = tuple(weights_of(config))
    cached = replace(config, **{part: WeightsRef("nobody/nothing", "0" * 40, part) for part in parts})
    assert locate(cached, parts) == {part: snapshot / part for part in parts}
    assert no_network == []


def test_a_file_is_found_in_a_folder_or_by_itself(tmp_path: Path, no_network: list[str]) -> None:
    path = tmp_path / "models" / "plus.safetensors"
    path.parent.mkdir()
    path.touch()
    assert resolve_file(WeightsFile(str(tmp_path), "models/plus.safetensors")) == path
    assert resolve_file(WeightsFile(str(path), "ignored.safetensors")) == path
    with pytest.raises(WeightsError, match=r"lacks other\.safetensors"):
        resolve_file(WeightsFile(str(tmp_path), "models/other.safetensors"))
    with pytest.raises(WeightsError, match="cannot be reached"):
        resolve_file(WeightsFile("nobody/nothing", "plus.safetensors"))
    assert len(no_network) == 1


def test_a_builtin_part_that_does_not_exist_is_named(
    config: BaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPAI_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="there is no folder"):
        locate(replace(config, unet=WeightsRef("builtin:micro", subfolder="lora")), ["unet"])
