import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from transformers import T5EncoderModel

import ipai.backbones.hub as hub
from ipai.backbones.config import BaseConfig, WeightsFile, WeightsRef, weights_of
from ipai.backbones.families import load_base
from ipai.backbones.hub import locate, resolve_file
from ipai.backbones.micro_sd3 import ensure_micro_sd3
from ipai.backbones.parts import files_of, row_of, shards_named_in
from ipai.backbones.sd15 import StableDiffusion15
from ipai.errors import WeightsError
from tests.helpers.flow_pipelines import config_of


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


def sharded(folder: Path) -> Path:
    """The miniature SD3's T5 as large ones lie on the hub: a list, and the files that it names."""
    source = ensure_micro_sd3() / "text_encoder_3"
    T5EncoderModel.from_pretrained(source).save_pretrained(folder / "text_encoder_3", max_shard_size="40KB")
    assert (folder / "text_encoder_3" / "model.safetensors.index.json").is_file()
    assert not (folder / "text_encoder_3" / "model.safetensors").exists()
    return folder


def test_a_network_in_several_files_is_loaded_and_told_apart_by_all_of_them(tmp_path: Path) -> None:
    base = config_of("micro_sd3")
    base = replace(base, text_encoder_3=WeightsRef(str(sharded(tmp_path)), subfolder="text_encoder_3"))
    ours, whole = (load_base(one, "cpu", only=["text_encoder_3"]) for one in (base, config_of("micro_sd3")))
    ours_state, state = (one._part("text_encoder_3").state_dict() for one in (ours, whole))
    assert all(torch.equal(tensor, ours_state[name]) for name, tensor in state.items())
    files = files_of(row_of("text_encoder_3", "sd3"), tmp_path / "text_encoder_3")
    assert len([name for name in files if name.startswith("model-0000")]) > 2


def test_a_file_that_the_list_names_and_that_is_not_there_is_told(tmp_path: Path) -> None:
    folder = sharded(tmp_path) / "text_encoder_3"
    lost = sorted(folder.glob("model-0*.safetensors"))[1]
    lost.unlink()
    base = replace(config_of("micro_sd3"), text_encoder_3=WeightsRef(str(tmp_path), subfolder="text_encoder_3"))
    with pytest.raises(WeightsError, match=lost.name):
        locate(base, ["text_encoder_3"])
    assert not hub.is_here("text_encoder_3", base.text_encoder_3, "sd3")  # type: ignore[arg-type]


def test_all_files_of_a_large_network_are_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remote, asked = sharded(tmp_path / "remote"), []

    def download(_id: str, path: str, **_options: Any) -> str:
        if not (remote / path).is_file():
            raise LocalEntryNotFoundError(path)
        asked.append(path)
        return str(remote / path)

    monkeypatch.setattr(hub, "hf_hub_download", download)
    base = replace(config_of("micro_sd3"), text_encoder_3=WeightsRef("some/where", subfolder="text_encoder_3"))
    assert locate(base, ["text_encoder_3"]) == {"text_encoder_3": remote / "text_encoder_3"}
    there = {path.relative_to(remote).as_posix() for path in remote.rglob("*") if path.is_file()}
    assert {path for path in there if "model" in path} <= set(asked)


@pytest.mark.parametrize("named", ['["a"]', '{"weight_map": {"a": "../../secret"}}', '{"weight_map": {"a": 1}}'])
def test_a_list_of_files_that_is_none_is_refused(tmp_path: Path, named: str) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(named)
    with pytest.raises(ValueError, match=r"weight_map|outside of its folder"):
        shards_named_in(index)


@pytest.mark.parametrize("content", ["{", '["a"]'])
def test_a_damaged_list_of_files_is_named_with_its_part(tmp_path: Path, content: str) -> None:
    folder = sharded(tmp_path) / "text_encoder_3"
    (folder / "model.safetensors.index.json").write_text(content)
    base = replace(config_of("micro_sd3"), text_encoder_3=WeightsRef(str(tmp_path), subfolder="text_encoder_3"))
    with pytest.raises(WeightsError, match=r"text_encoder_3 from .*lacks .*a list of its files that can be read"):
        locate(base, ["text_encoder_3"])
    assert not hub.is_here("text_encoder_3", base.text_encoder_3, "sd3")  # type: ignore[arg-type]


def test_a_file_that_several_sets_begin_with_is_named_once(tmp_path: Path, config: BaseConfig) -> None:
    (tmp_path / "unet").mkdir()
    with pytest.raises(WeightsError) as caught:
        locate(replace(config, unet=WeightsRef(str(tmp_path), subfolder="unet")), ["unet"], weights=False)
    assert str(caught.value).count("config.json") == 2  # what is missing, and what is needed
