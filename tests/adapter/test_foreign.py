"""Files made for other models are refused by what they are."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ipai.adapter import (
    AdapterSpec,
    FileKind,
    InstructAdapter,
    identify,
    load_adapter,
    load_ip_adapter_plus,
)
from ipai.adapter.foreign import infer_spec
from ipai.errors import WeightsError
from tests.helpers.specs import paper_spec, plus_spec, released_spec

SDXL_SIZES = (640,) * 10 + (1280,) * 60


def tensors_of(spec: AdapterSpec) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        return dict(InstructAdapter(spec).state_dict())


def pairs(count: int, width: int) -> dict[str, torch.Tensor]:
    numbers = range(1, 2 * count, 2)
    return {
        f"ip_adapter.{i}.to_{part}_ip.weight": torch.empty(640, width, device="meta") for i in numbers for part in "kv"
    }


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        (plus_spec(), FileKind.PLUS),
        (paper_spec(), FileKind.INSTRUCT),
        (released_spec(), FileKind.RELEASED),
        (replace(plus_spec(), width=1280, heads=20), FileKind.PLUS),
    ],
)
def test_kinds_by_names_and_shapes(spec: AdapterSpec, kind: FileKind) -> None:
    state = tensors_of(spec)
    assert identify(state, "file") is kind
    if kind is FileKind.INSTRUCT:
        with pytest.raises(WeightsError, match="metadata"):
            infer_spec(state, kind, "file")
    else:
        assert infer_spec(state, kind, "file") == spec


def test_adapters_for_sdxl_are_told_by_their_sizes() -> None:
    for spec, kind in ((plus_spec(SDXL_SIZES), FileKind.PLUS), (released_spec(SDXL_SIZES), FileKind.RELEASED)):
        sdxl = replace(spec, token_dim=2048, width=1280, heads=20)
        assert identify(tensors_of(sdxl), "file") is kind
        assert infer_spec(tensors_of(sdxl), kind, "file") == sdxl
    plain = {"image_proj.proj.weight": torch.empty(8192, 1280)} | pairs(70, 2048)
    with pytest.raises(WeightsError, match="plain IP-Adapter"):
        identify(plain, "file")


@pytest.mark.parametrize(
    ("names", "word"),
    [
        (["image_proj.proj_in.weight", "ip_adapter.0.norm_ip.linear.weight"], r"SD3\.5"),
        (["image_proj.proj.weight", "image_proj.norm.weight", "ip_adapter.1.to_k_ip.weight"], "plain IP-Adapter"),
        (["image_proj.proj.0.weight", "image_proj.proj.2.weight"], "FaceID"),
        (
            ["image_proj.proj.0.weight", "image_proj.proj.2.weight", "image_proj.perceiver_resampler.proj_in.weight"],
            "FaceID Plus",
        ),
        (["image_proj.proj.0.weight", "image_proj.proj.3.weight"], "Full Face"),
        (
            ["image_proj_model.latents", "adapter_modules.1.to_k_ip.weight", "unet.conv_in.weight"],
            "training checkpoint",
        ),
        (["double_blocks.0.processor.ip_adapter_double_stream_k_proj.weight"], "FLUX"),
        (["model.diffusion_model.input_blocks.0.0.weight"], "whole Stable Diffusion"),
        (["down_blocks.0.attentions.0.proj_in.weight"], "UNet"),
        (["something.else"], "no adapter: .* something.else"),
        ([], "holds nothing"),
    ],
)
def test_other_files_are_refused_by_what_they_are(tmp_path: Path, names: list[str], word: str) -> None:
    path = tmp_path / "other.safetensors"
    save_file({name: torch.zeros(2, 2) for name in names}, path)
    with pytest.raises(WeightsError, match=word):
        load_adapter(path)
    with pytest.raises(WeightsError, match=word):
        load_ip_adapter_plus(InstructAdapter(AdapterSpec(8, 8, (8,), 8, heads=1)), path)


def test_a_released_file_is_no_start_for_plus(released: InstructAdapter, tmp_path: Path) -> None:
    save_file(released.state_dict(), tmp_path / "released.safetensors")
    with pytest.raises(WeightsError, match=r"released variant.*load_adapter"):
        load_ip_adapter_plus(released, tmp_path / "released.safetensors")


def test_an_incomplete_file_names_what_is_missing() -> None:
    state = tensors_of(released_spec())
    for name in ("image_proj.proj_prompt_input.weight", "image_proj.layers.0.1.1.weight"):
        with pytest.raises(WeightsError, match=name):
            infer_spec({key: tensor for key, tensor in state.items() if key != name}, FileKind.RELEASED, "file")
    without = {name: tensor for name, tensor in state.items() if not name.startswith("ip_adapter.")}
    with pytest.raises(WeightsError, match="attention_sizes"):
        infer_spec(without, FileKind.RELEASED, "file")
