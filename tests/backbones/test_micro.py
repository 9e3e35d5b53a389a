import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from ipai.backbones import micro
from ipai.backbones.families import load_base
from ipai.backbones.micro import build_micro, ensure_micro, micro_config
from ipai.errors import WeightsError
from ipai.files import sha256_of

ROOT = Path(__file__).parents[2]


def digests(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256_of(path) for path in folder.rglob("*") if path.is_file()}


def test_equal_seeds_give_equal_bytes_and_others_do_not(micro_folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(123)
    torch.rand(7)
    build_micro(tmp_path / "again")
    build_micro(tmp_path / "other", seed=1)
    assert digests(tmp_path / "again") == digests(micro_folder)
    weights = "unet/diffusion_pytorch_model.safetensors"
    assert digests(tmp_path / "other")[weights] != digests(micro_folder)[weights]


def test_building_is_quick_and_leaves_the_callers_randomness_and_output_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before, start = torch.get_rng_state(), time.perf_counter()
    build_micro(tmp_path / "micro")
    assert time.perf_counter() - start < 5
    assert torch.equal(torch.get_rng_state(), before)
    assert capfd.readouterr() == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == ["micro"]


def test_a_failed_build_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(folder: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setitem(micro.WRITERS, "image_encoder", fail)
    monkeypatch.setenv("IPAI_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match=r"disk full.*IPAI_CACHE"):
        ensure_micro()
    assert list(tmp_path.iterdir()) == []


def test_builtin_parts_are_built_once_and_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPAI_CACHE", str(tmp_path))
    base = load_base(micro_config(), "cpu", only=["text_encoder", "tokenizer"])
    assert base.encode_prompts(["a cat"])[0].shape == (1, 77, 32)
    folder = ensure_micro()
    stamp = folder.stat().st_mtime_ns
    assert ensure_micro() == folder
    assert folder.stat().st_mtime_ns == stamp


def test_a_build_that_is_overtaken_gives_way(
    micro_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process finishes between our last file and our rename."""
    target = tmp_path / "micro"
    ours = micro._rename_unless_there

    def overtaken(aside: Path, folder: Path) -> None:
        monkeypatch.setattr(micro, "_rename_unless_there", ours)
        build_micro(folder)
        (folder / "theirs").touch()
        ours(aside, folder)

    monkeypatch.setattr(micro, "_rename_unless_there", overtaken)
    build_micro(target)
    assert (target / "theirs").is_file()
    (target / "theirs").unlink()
    assert digests(target) == digests(micro_folder)
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.slow
@pytest.mark.long
def test_two_processes_may_build_at_once(micro_folder: Path, tmp_path: Path) -> None:
    # Each waits for the other's mark right before it builds, so that neither finds the other's folder.
    code = f"""
import sys
import time
from pathlib import Path
from ipai.backbones.micro import ensure_micro
root = Path({str(tmp_path)!r})
(root / ("ready-" + sys.argv[1])).touch()
while len(list(root.glob("ready-*"))) < 2:
    time.sleep(0.01)
print(ensure_micro())
"""
    environment = {**os.environ, "IPAI_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(i)], env=environment, stdout=subprocess.PIPE, text=True)
        for i in range(2)
    ]
    folders = {process.communicate(timeout=300)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    (folder,) = folders
    assert [str(path) for path in (tmp_path / "cache").iterdir()] == [folder]
    assert digests(Path(folder)) == digests(micro_folder)
