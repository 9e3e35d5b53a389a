import json
import os
import resource
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ipai.errors import CheckpointError
from ipai.training import checkpoint
from ipai.training.checkpoint import Progress


def save(folder: Path, step: int, keep: int = 3, content: bytes = b"weights") -> Path:
    writers = {"adapter.safetensors": lambda path: path.write_bytes(content)}
    return checkpoint.save(folder, Progress(step, step * 8), writers, keep)  # type: ignore[arg-type]


def test_the_newest_whole_checkpoint_is_found(tmp_path: Path) -> None:
    for step in (10, 20):
        save(tmp_path, step)
    assert checkpoint.newest(tmp_path) == tmp_path / "step-00000020"
    assert checkpoint.verify(tmp_path / "latest") == Progress(20, 160)


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "no state", "half a state", "other format"])
def test_a_damaged_newest_checkpoint_is_passed_over(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path, 10)
    newest = save(tmp_path, 20)
    weights, state = newest / "adapter.safetensors", newest / "state.json"
    if damage == "truncate":
        os.truncate(weights, 3)
    elif damage == "flip":
        weights.write_bytes(b"weightz")
    elif damage == "remove":
        weights.unlink()
    elif damage == "no state":
        state.unlink()
    elif damage == "half a state":
        os.truncate(state, 20)
    else:
        state.write_text(json.dumps(json.loads(state.read_text()) | {"format": 99}))
    assert checkpoint.newest(tmp_path) == tmp_path / "step-00000010"
    assert "step-00000020" in caplog.text


def test_a_damaged_checkpoint_is_replaced_when_its_step_comes_again(tmp_path: Path) -> None:
    os.truncate(save(tmp_path, 10) / "state.json", 3)
    save(tmp_path, 10, content=b"new")
    assert checkpoint.newest(tmp_path) == tmp_path / "step-00000010"


def test_saving_a_step_again_leaves_the_whole_checkpoint_alone(tmp_path: Path) -> None:
    save(tmp_path, 10, content=b"first")
    assert (save(tmp_path, 10, content=b"second") / "adapter.safetensors").read_bytes() == b"first"


def test_rotation_keeps_the_newest(tmp_path: Path) -> None:
    for step in range(1, 6):
        save(tmp_path, step, keep=2)
    assert sorted(path.name for path in tmp_path.glob("step-*")) == ["step-00000004", "step-00000005"]


def test_a_failed_write_leaves_the_older_checkpoint_and_no_rest(tmp_path: Path) -> None:
    save(tmp_path, 10)

    def disk_full(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(CheckpointError, match="No space left"):
        checkpoint.save(tmp_path, Progress(20, 160), {"adapter.safetensors": disk_full}, keep=1)
    assert checkpoint.newest(tmp_path) == tmp_path / "step-00000010"
    assert not list(tmp_path.glob(".step*"))


def test_a_disk_that_is_full_for_safetensors_is_reported_the_same_way(tmp_path: Path) -> None:
    """Its error is no OSError; a limit on the size of files stands for the full disk."""
    save(tmp_path, 10)
    weights = {"adapter.safetensors": partial(save_file, {"weights": torch.zeros(10_000)})}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, before[1]))
    try:
        with pytest.raises(CheckpointError, match=r"could not be written to .* \(.*make room"):
            checkpoint.save(tmp_path, Progress(20, 160), weights, keep=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert checkpoint.newest(tmp_path) == tmp_path / "step-00000010"
    assert not list(tmp_path.glob(".step*"))


def test_what_a_killed_save_left_behind_is_never_chosen(tmp_path: Path) -> None:
    whole = save(tmp_path, 10)
    shutil.copytree(whole, tmp_path / ".step-00000020.tmp")
    assert checkpoint.newest(tmp_path) == whole


def test_resolve_takes_a_file_a_checkpoint_or_a_run(tmp_path: Path) -> None:
    whole = save(tmp_path / "checkpoints", 10)
    expected = whole / "adapter.safetensors"
    assert checkpoint.resolve(expected) == checkpoint.resolve(whole) == checkpoint.resolve(tmp_path) == expected
    with pytest.raises(CheckpointError, match="neither"):
        checkpoint.resolve(tmp_path / "nothing")


def train_a_little(optimizer: torch.optim.Optimizer, parameters: list[torch.nn.Parameter], steps: int) -> None:
    for _ in range(steps):
        for parameter in parameters:
            parameter.grad = torch.randn_like(parameter)
        optimizer.step()


def test_the_optimizer_comes_back_to_the_bit(tmp_path: Path) -> None:
    torch.manual_seed(0)
    names = ["b", "a"]
    live = [torch.nn.Parameter(torch.randn(3, 2)), torch.nn.Parameter(torch.randn(4))]
    optimizer = torch.optim.AdamW(live, lr=0.1, fused=True)
    train_a_little(optimizer, live, 3)
    checkpoint.save_optimizer(optimizer, names, tmp_path / "o.safetensors")

    twin = [torch.nn.Parameter(parameter.detach().clone()) for parameter in live]
    restored = torch.optim.AdamW(twin, lr=0.1, fused=True)
    checkpoint.load_optimizer(restored, names, tmp_path / "o.safetensors")
    for seed_optimizer, parameters in ((optimizer, live), (restored, twin)):
        torch.manual_seed(1)
        train_a_little(seed_optimizer, parameters, 3)
    assert all(torch.equal(a, b) for a, b in zip(live, twin, strict=True))


def test_an_optimizer_of_other_parameters_is_refused(tmp_path: Path) -> None:
    parameter = torch.nn.Parameter(torch.randn(3))
    optimizer = torch.optim.AdamW([parameter])
    train_a_little(optimizer, [parameter], 1)
    checkpoint.save_optimizer(optimizer, ["a"], tmp_path / "o.safetensors")
    with pytest.raises(CheckpointError, match="other parameters"):
        checkpoint.load_optimizer(optimizer, ["b"], tmp_path / "o.safetensors")
