"""`scripts/train_toy_stack.py start=...` and `only=...`."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.integration.test_toy_stack import train, trained

__all__ = ["trained"]  # a fixture


@pytest.mark.long
def test_a_stack_goes_on_from_another(trained: Path, tmp_path: Path) -> None:
    """The tokenizer and the VAE's encoder stay, all else but the oracles starts as it was there."""
    done = train(tmp_path, f"start={trained}/stack")
    assert done.returncode == 0, done.stderr[-3000:]
    before, after = (
        load_file(folder / "stack/vae/diffusion_pytorch_model.safetensors") for folder in (trained, tmp_path)
    )
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith("encoder."))
    assert any(not torch.equal(before[name], after[name]) for name in before if name.startswith("decoder."))
    merges = "stack/instruction_encoder/bpe_simple_vocab.txt.gz"
    assert (trained / merges).read_bytes() == (tmp_path / merges).read_bytes()
    assert "went on from an earlier stack" in (tmp_path / "stack/README.md").read_text()
    first, second = (
        load_file(folder / "stack/unet/diffusion_pytorch_model.safetensors") for folder in (trained, tmp_path)
    )
    assert max((first[name].float() - second[name].float()).abs().max() for name in first) < 0.05


@pytest.mark.long
def test_one_part_can_be_trained_alone(tmp_path: Path) -> None:
    done = train(tmp_path, "only=oracles")
    assert done.returncode == 0, done.stderr[-3000:]
    assert {path.name for path in (tmp_path / "work").glob("*.pt")} == {"oracle-scenes.pt", "oracle-portraits.pt"}
    assert not (tmp_path / "stack").exists()
