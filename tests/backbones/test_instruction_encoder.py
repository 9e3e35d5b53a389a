import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file

from ipai.backbones.backbone import Backbone
from ipai.backbones.config import BaseConfig
from ipai.backbones.instruction_encoder import (
    InstructionEncoder,
    OpenClipInstructionEncoder,
    SdTextInstructionEncoder,
)
from ipai.errors import WeightsError

TEXTS = ["use the style", "", "Take the Composition, please! " * 20]
WEIGHTS = "open_clip_model.safetensors"


@pytest.fixture(scope="module")
def open_clip_folder(micro_folder: Path) -> Path:
    return micro_folder / "instruction_encoder"


@pytest.fixture(scope="module")
def encoder(config: BaseConfig) -> OpenClipInstructionEncoder:
    return OpenClipInstructionEncoder.from_config(config, "cpu")


def test_tokens_and_pooled_are_open_clips_own(encoder: OpenClipInstructionEncoder, open_clip_folder: Path) -> None:
    name = f"local-dir:{open_clip_folder}"
    model = open_clip.create_model(name, require_pretrained=True).eval()
    ids = open_clip.get_tokenizer(name)(TEXTS)
    with torch.no_grad():
        hidden = model.token_embedding(ids) + model.positional_embedding
        tokens = model.ln_final(model.transformer(hidden, attn_mask=model.attn_mask))
        pooled = model.encode_text(ids)
    encoded = encoder.encode(TEXTS)
    assert encoder.dim == encoded.tokens.shape[2] == encoded.pooled.shape[1] == 32
    torch.testing.assert_close(encoded.tokens, tokens, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(encoded.pooled, pooled, atol=1e-5, rtol=1e-5)
    assert encoded.mask.sum(dim=1).tolist() == [5, 2, 77]
    end = encoded.mask.sum(dim=1) - 1
    torch.testing.assert_close(tokens[torch.arange(3), end] @ model.text_projection, encoded.pooled)


def test_sd_text_tokens_are_the_bases_prompts(config: BaseConfig, base: Backbone) -> None:
    encoder = SdTextInstructionEncoder.from_config(config, "cpu")
    encoded = encoder.encode(TEXTS)
    hidden, mask, *_ = base.encode_prompts(TEXTS)
    torch.testing.assert_close(encoded.tokens, hidden, atol=1e-5, rtol=1e-5)
    assert torch.equal(encoded.mask, mask)
    assert encoder.dim == 32
    end = mask.sum(dim=1) - 1
    torch.testing.assert_close(encoded.pooled, hidden[torch.arange(3), end], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", [OpenClipInstructionEncoder, SdTextInstructionEncoder])
def test_batches_do_not_show_and_none_is_fine(config: BaseConfig, kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder: InstructionEncoder = kind.from_config(config, "cpu")
    whole = encoder.encode(TEXTS)
    monkeypatch.setattr("ipai.backbones.instruction_encoder._BATCH", 2)
    for left, right in zip(encoder.encode(TEXTS), whole, strict=True):
        torch.testing.assert_close(left, right, atol=1e-5, rtol=1e-5)
    assert encoder.encode([]).tokens.shape == (0, 77, 32)
    assert {tensor.dtype for tensor in whole} == {torch.float32, torch.bool}


@pytest.mark.parametrize("kind", [OpenClipInstructionEncoder, SdTextInstructionEncoder])
def test_what_is_longer_than_the_encoder_reads_is_marked(config: BaseConfig, kind: Any) -> None:
    encoder: InstructionEncoder = kind.from_config(config, "cpu")
    room = 75  # tokens besides the first and the last
    words = next(w for w in ("a", "the", "cat") if encoder.encode([w]).mask.sum() == 3)
    texts = [" ".join([words] * count) for count in (1, room, room + 1, 3 * room)]
    assert encoder.encode(texts).cut.tolist() == [False, False, True, True]


def test_identity_follows_content_not_place(
    encoder: OpenClipInstructionEncoder, config: BaseConfig, tmp_path: Path
) -> None:
    source = Path(config.instruction_encoder.id) / "instruction_encoder"
    shutil.copytree(source, tmp_path / "copy")
    assert OpenClipInstructionEncoder(tmp_path / "copy", "cpu").identity == encoder.identity
    state = load_file(source / WEIGHTS)
    moved = {name: tensor + 1e-3 if tensor.dtype == torch.float32 else tensor for name, tensor in state.items()}
    save_file(moved, tmp_path / "copy" / WEIGHTS, {"format": "pt"})
    assert OpenClipInstructionEncoder(tmp_path / "copy", "cpu").identity != encoder.identity
    assert SdTextInstructionEncoder.from_config(config, "cpu").identity != encoder.identity


def test_weights_are_not_needed_before_the_first_text(config: BaseConfig, micro_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(micro_folder / "instruction_encoder", tmp_path / "broken")
    state = load_file(tmp_path / "broken" / WEIGHTS)
    del state["ln_final.weight"]
    save_file(state, tmp_path / "broken" / WEIGHTS, {"format": "pt"})
    encoder = OpenClipInstructionEncoder(tmp_path / "broken", "cpu")
    with pytest.raises(WeightsError, match=r"ln_final\.weight"):
        encoder.encode(["use the style"])


@pytest.mark.parametrize(
    ("change", "named"),
    [({"custom_text": True}, "custom_text"), ({"embed_dim": 48}, "width"), ({"text_cfg": {}}, "text_cfg|width")],
)
def test_other_towers_are_refused(open_clip_folder: Path, tmp_path: Path, change: dict[str, Any], named: str) -> None:
    shutil.copytree(open_clip_folder, tmp_path / "other")
    path = tmp_path / "other" / "open_clip_config.json"
    content = json.loads(path.read_text())
    content["model_cfg"] |= change
    path.write_text(json.dumps(content))
    with pytest.raises(WeightsError, match=named):
        OpenClipInstructionEncoder(tmp_path / "other", "cpu")


def test_a_missing_instruction_encoder_is_named(
    config: BaseConfig, config_at: Callable[[Path], BaseConfig], tmp_path: Path
) -> None:
    elsewhere = replace(config, instruction_encoder=config_at(tmp_path).instruction_encoder)
    with pytest.raises(WeightsError, match="instruction_encoder from"):
        OpenClipInstructionEncoder.from_config(elsewhere, "cpu")
