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
from ipai.runs import checkpoint
from ipai.runs.checkpoint import Progress


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


@pytest.mark.parametrize("copy", ["step-best", "step-00000012-backup", "step-99999999", "step-1"])
def test_copies_of_others_are_neither_counted_nor_removed(tmp_path: Path, copy: str) -> None:
    for step in range(1, 4):
        save(tmp_path, step, keep=2)
    shutil.copytree(tmp_path / "step-00000003", tmp_path / copy)
    for step in range(4, 8):
        assert save(tmp_path, step, keep=2).is_dir()
    assert sorted(path.name for path in tmp_path.glob("step-*")) == sorted(["step-00000006", "step-00000007", copy])
    assert checkpoint.newest(tmp_path) == tmp_path / "step-00000007"
    assert (tmp_path / "latest").resolve() == (tmp_path / "step-00000007").resolve()


def test_a_checkpoint_under_another_name_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = save(tmp_path, 10)
    shutil.copytree(whole, tmp_path / "step-00000020")
    assert checkpoint.newest(tmp_path) == whole
    assert "a checkpoint of another step under this name" in caplog.text


def test_a_copy_that_followed_the_link_goes_on(tmp_path: Path) -> None:
    save(tmp_path / "run", 10)
    shutil.copytree(tmp_path / "run", tmp_path / "copy", symlinks=False)  # cp -rL
    assert not (tmp_path / "copy" / "latest").is_symlink()
    save(tmp_path / "copy", 20)
    assert checkpoint.verify(tmp_path / "copy" / "latest") == Progress(20, 160)
    assert checkpoint.verify(tmp_path / "copy" / "latest-copied-0") == Progress(10, 80)


def test_linked_and_moved_checkpoints_leave_their_place_alone(tmp_path: Path) -> None:
    for step in (1, 2):
        save(tmp_path / "run", step, keep=2)
    (tmp_path / "run" / "step-00000001").rename(tmp_path / "elsewhere")
    (tmp_path / "run" / "step-00000001").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "run" / "step-00000002").rename(tmp_path / "moved")
    assert checkpoint.newest(tmp_path / "run") == tmp_path / "run" / "step-00000001"
    for step in (3, 4):
        save(tmp_path / "run", step, keep=2)
    assert sorted(path.name for path in (tmp_path / "run").glob("step-*")) == ["step-00000003", "step-00000004"]
    assert checkpoint.verify(tmp_path / "elsewhere") == Progress(1, 8)
    assert checkpoint.verify(tmp_path / "moved") == Progress(2, 16)


@pytest.mark.parametrize("change", [{"step": 13}, {"samples_seen": 7}, {"skipped_samples": 1}, {"origin": {"a": "b"}}])
def test_a_state_that_was_changed_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    path = save(tmp_path, 12) / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError, match="was changed after it was written"):
        checkpoint.verify(path.parent)


def test_checkpoints_of_the_format_before_are_read(tmp_path: Path) -> None:
    path = save(tmp_path, 12) / "state.json"
    state = {key: value for key, value in json.loads(path.read_text()).items() if key not in ("seal", "origin")}
    path.write_text(json.dumps(state | {"format": 1}))
    assert checkpoint.verify(path.parent) == Progress(12, 96)
    assert checkpoint.origin_of(path.parent) == {}


def test_readers_of_the_adapter_hash_no_optimizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writers = {name: (lambda path: path.write_bytes(b"x")) for name in ("adapter.safetensors", "optimizer.safetensors")}
    saved = checkpoint.save(tmp_path / "checkpoints", Progress(10, 80), writers, 3)  # type: ignore[arg-type]
    (saved / "optimizer.safetensors").write_bytes(b"y")  # damaged, and of no interest here
    hashed: list[str] = []
    digest = checkpoint.sha256_of
    monkeypatch.setattr(checkpoint, "sha256_of", lambda path: hashed.append(path.name) or digest(path))
    assert checkpoint.resolve(tmp_path) == saved / "adapter.safetensors"
    assert hashed == ["adapter.safetensors"]
