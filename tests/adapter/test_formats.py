"""Adapter files: bit-exact round trips, and strictness that names every tensor that is not as it must be."""

import json
import os
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ipai.adapter import (
    AdapterSpec,
    InstructAdapter,
    export_ip_adapter,
    export_released,
    initialise,
    inject,
    is_new_branch,
    load_adapter,
    load_ip_adapter_plus,
    load_state_strict,
    read_metadata,
    read_state,
    save_adapter,
)
from ipai.errors import ConfigError, WeightsError

State = dict[str, Tensor]


def nested(state: State) -> dict[str, State]:
    out: dict[str, State] = {}
    for name, tensor in state.items():
        part, rest = name.split(".", 1)
        out.setdefault(part, {})[rest] = tensor
    return out


def write(state: State, path: Path) -> Path:
    if path.suffix == ".bin":
        torch.save(nested(state), path)
    else:
        save_file(state, path)
    return path


def assert_same(one: State, two: State) -> None:
    assert list(one) == list(two) or set(one) == set(two)
    for name, tensor in one.items():
        assert tensor.dtype == two[name].dtype
        assert torch.equal(tensor, two[name]), name


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"mask_padding": True},
        {"instruction": "pooled"},
        {"instruction": "task_embedding", "num_tasks": 3},
        {"instruction": "none", "head_dim": 12},
        {"prompt_dim": 20},
    ],
)
def test_our_format_round_trip(small: AdapterSpec, tmp_path: Path, changes: dict[str, Any]) -> None:
    adapter = InstructAdapter(replace(small, **changes))
    facts = {"base": "toy", "step": "12", "text": "ä\n"}
    save_adapter(adapter, tmp_path / "a.safetensors", facts)
    loaded = load_adapter(tmp_path / "a.safetensors")
    assert loaded.spec == adapter.spec
    assert read_metadata(tmp_path / "a.safetensors") == facts
    assert_same(adapter.state_dict(), loaded.state_dict())
    assert all(parameter.requires_grad and parameter.device.type == "cpu" for parameter in loaded.parameters())
    save_adapter(loaded, tmp_path / "b.safetensors", facts)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_loaded_weights_do_not_hang_on_the_file(small: AdapterSpec, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_adapter(InstructAdapter(small), path, {})
    loaded = load_adapter(path)
    before = {name: tensor.clone() for name, tensor in loaded.state_dict().items()}
    path.write_bytes(b"\xff" * path.stat().st_size)
    assert_same(before, loaded.state_dict())
    for parameter in loaded.parameters():
        assert parameter.untyped_storage().nbytes() == parameter.numel() * 4


def test_only_the_adapter_is_saved(unet: Any, small: AdapterSpec, tmp_path: Path) -> None:
    adapter = InstructAdapter(small)
    inject(unet, adapter)
    save_adapter(adapter, tmp_path / "a.safetensors", {})
    saved = load_file(tmp_path / "a.safetensors")
    assert set(saved) == set(adapter.state_dict())
    assert sum(t.numel() for t in saved.values()) == sum(p.numel() for p in adapter.parameters())


@pytest.mark.parametrize("suffix", [".bin", ".safetensors"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_ip_adapter_plus_round_trip(plus: InstructAdapter, tmp_path: Path, suffix: str, dtype: torch.dtype) -> None:
    state = {name: tensor.to(dtype) for name, tensor in plus.state_dict().items()}
    adapter = InstructAdapter(plus.spec)
    load_ip_adapter_plus(adapter, write(state, tmp_path / f"plus{suffix}"))
    export_ip_adapter(adapter, tmp_path / f"out{suffix}")
    assert_same({name: tensor.float() for name, tensor in state.items()}, read_state(tmp_path / f"out{suffix}"))
    inferred = load_adapter(tmp_path / f"out{suffix}")
    assert inferred.spec == replace(plus.spec, instruction_dim=AdapterSpec.instruction_dim)
    assert_same(adapter.state_dict(), inferred.state_dict())


def test_released_round_trip(released: InstructAdapter, tmp_path: Path) -> None:
    path = write(released.state_dict(), tmp_path / "released.bin")
    loaded = load_adapter(path)
    assert loaded.spec == released.spec
    export_released(loaded, tmp_path / "out.bin")
    content = torch.load(tmp_path / "out.bin", weights_only=True)
    assert list(content) == ["image_proj", "ip_adapter"]
    for part, tensors in nested(released.state_dict()).items():
        assert list(content[part]) == list(tensors)
        assert_same(content[part], tensors)
    export_released(loaded, tmp_path / "again.bin")
    assert (tmp_path / "out.bin").read_bytes() == (tmp_path / "again.bin").read_bytes()


def test_load_ip_adapter_plus_leaves_the_new_branch_alone(
    plus: InstructAdapter, small: AdapterSpec, tmp_path: Path
) -> None:
    adapter = InstructAdapter(small)
    initialise(adapter, seed=1)
    before = {name: tensor.clone() for name, tensor in adapter.state_dict().items()}
    load_ip_adapter_plus(adapter, write(plus.state_dict(), tmp_path / "plus.bin"))
    for name, tensor in adapter.state_dict().items():
        assert torch.equal(tensor, (before if is_new_branch(name) else plus.state_dict())[name]), name


def test_every_misfit_is_named(plus: InstructAdapter, tmp_path: Path) -> None:
    state = dict(plus.state_dict())
    del state["image_proj.norm_out.bias"], state["ip_adapter.31.to_v_ip.weight"]
    state["ip_adapter.33.to_k_ip.weight"] = torch.zeros(1, 2)
    state["image_proj.extra"] = torch.zeros(3)
    state["image_proj.proj_in.weight"] = torch.zeros(5, 6)
    state["image_proj.proj_in.bias"] = torch.zeros(48, dtype=torch.int64)
    state["image_proj.latents"] = torch.full((1, 4, 48), torch.nan)
    with pytest.raises(WeightsError) as caught:
        load_state_strict(plus, state, "somewhere")
    message = str(caught.value)
    assert message.startswith("somewhere ")
    for part in (
        "2 missing: image_proj.norm_out.bias [32], ip_adapter.31.to_v_ip.weight",
        "2 left over: ip_adapter.33.to_k_ip.weight [1, 2], image_proj.extra [3]",
        "1 of the wrong shape: image_proj.proj_in.weight [5, 6] instead of [48, 24]",
        "1 not of floating point: image_proj.proj_in.bias torch.int64",
        "1 NaN or infinite: image_proj.latents",
    ):
        assert part in message
    with pytest.raises(WeightsError, match=r"image_proj\.extra"):
        load_ip_adapter_plus(plus, write(state, tmp_path / "bad.safetensors"))


def test_a_refused_file_changes_nothing(plus: InstructAdapter) -> None:
    before = {name: tensor.clone() for name, tensor in plus.state_dict().items()}
    state = {name: tensor + 1 for name, tensor in before.items()}
    state["image_proj.norm_out.bias"][0] = torch.inf
    with pytest.raises(WeightsError, match="NaN or infinite"):
        load_state_strict(plus, state, "state")
    assert_same(before, plus.state_dict())


def test_nan_is_not_written(small: AdapterSpec, tmp_path: Path) -> None:
    adapter = InstructAdapter(small)
    adapter.image_proj.latents.data[0, 0, 0] = torch.nan
    with pytest.raises(WeightsError, match=r"image_proj\.latents"):
        save_adapter(adapter, tmp_path / "a.safetensors", {})
    assert not list(tmp_path.iterdir())


def test_names_changed_by_compile_are_not_written(small: AdapterSpec, tmp_path: Path) -> None:
    adapter = InstructAdapter(small)
    adapter.image_proj = torch.compile(adapter.image_proj)  # type: ignore[assignment]
    with pytest.raises(WeightsError, match="_orig_mod"):
        save_adapter(adapter, tmp_path / "a.safetensors", {})


class Bomb:
    """A pickle that creates a file when it is loaded without care."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.marker),)


def test_a_malicious_pickle_is_refused_and_not_run(plus: InstructAdapter, tmp_path: Path) -> None:
    torch.save(nested(plus.state_dict()) | {"more": Bomb(tmp_path / "boom")}, tmp_path / "bomb.bin")
    with pytest.raises(WeightsError, match="no pickle of plain tensors"):
        load_adapter(tmp_path / "bomb.bin")
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize("suffix", [".bin", ".safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_truncated_files_are_refused(plus: InstructAdapter, tmp_path: Path, suffix: str, share: float) -> None:
    path = write(plus.state_dict(), tmp_path / f"plus{suffix}")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(WeightsError, match="plus"):
        load_adapter(path)


@pytest.mark.parametrize(
    ("content", "word"),
    [([torch.zeros(1)], "list"), ({"image_proj": {"latents": 3}}, "latents is of type int"), ({"step": "x"}, "step")],
)
def test_a_bin_of_other_things_is_refused(tmp_path: Path, content: Any, word: str) -> None:
    torch.save(content, tmp_path / "other.bin")
    with pytest.raises(WeightsError, match=word):
        read_state(tmp_path / "other.bin")


def test_missing_and_unknown_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no adapter file"):
        read_state(tmp_path / "absent.bin")
    (tmp_path / "picture.png").write_bytes(b"x")
    with pytest.raises(WeightsError, match="picture"):
        read_state(tmp_path / "picture.png")


def change_header(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Rewrite the JSON that our format keeps in the safetensors header."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    ours = json.loads(header["__metadata__"]["ipai"])
    change(ours)
    header["__metadata__"]["ipai"] = json.dumps(ours)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda header: header.update(version=2), "2"),
        (lambda header: header.pop("spec"), "spec"),
        (lambda header: header["spec"].update(width='"wide"'), "width"),
        (lambda header: header["spec"].update(width="96"), "of the wrong shape"),
        (lambda header: header["spec"].update(instruction='"none"'), "left over"),
    ],
)
def test_a_header_that_lies_is_refused(
    small: AdapterSpec, tmp_path: Path, change: Callable[[dict[str, Any]], None], word: str
) -> None:
    path = tmp_path / "a.safetensors"
    save_adapter(InstructAdapter(small), path, {})
    change_header(path, change)
    with pytest.raises(WeightsError, match=word):
        load_adapter(path)


def test_exports_that_would_lose_something_are_refused(
    small: AdapterSpec, plus: InstructAdapter, released: InstructAdapter, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="drop the instruction"):
        export_ip_adapter(InstructAdapter(small), tmp_path / "a.bin")
    with pytest.raises(ConfigError, match="prompt branch"):
        export_released(InstructAdapter(small), tmp_path / "a.bin")
    with pytest.raises(ConfigError, match="mask_padding=True"):
        export_released(InstructAdapter(replace(released.spec, mask_padding=True)), tmp_path / "a.bin")
    for refused in (
        lambda: export_released(released, tmp_path / "a.safetensors"),
        lambda: export_ip_adapter(plus, tmp_path / "a.pt"),
        lambda: save_adapter(plus, tmp_path / "a.bin", {}),
        lambda: save_adapter(plus, tmp_path / "a.safetensors", {"step": 3}),  # type: ignore[dict-item]
    ):
        with pytest.raises(ConfigError, match=r"a\."):
            refused()
    assert not list(tmp_path.iterdir())
