"""Instructions as tokens: the text tower of the image encoder's own CLIP (paper section 3.1), or SD's text encoder.

Both encode in fp32 wherever they run: each instruction is encoded once and then cached, so exactness costs nothing.
Both find their files when made and load their weights at the first `encode`, so a full cache needs no weights.
"""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch
from safetensors import safe_open
from torch import Tensor, nn

from ipai.backbones.backbone import frozen_forward
from ipai.backbones.config import BaseConfig
from ipai.backbones.hub import locate
from ipai.backbones.loading import freeze, load_part, read_config
from ipai.backbones.parts import PARTS
from ipai.errors import WeightsError
from ipai.files import fingerprint

if TYPE_CHECKING:  # takes seconds to import, and a full cache of encodings needs none of it
    from open_clip import CLIP, SimpleTokenizer

_BATCH = 64  # bounds the memory; the result does not depend on it


class EncodedTexts(NamedTuple):
    """N encoded texts, on the CPU.

    Attributes:
        tokens: fp32 [N, 77, D].
        mask: bool [N, 77], False on padding.
        pooled: fp32 [N, D].
        cut: bool [N], True where the text was longer than the encoder reads.
    """

    tokens: Tensor
    mask: Tensor
    pooled: Tensor
    cut: Tensor


class InstructionEncoder(Protocol):
    """Encodes instructions.

    Attributes:
        identity: Names what the encodings depend on, by content; equal wherever the weights lie. For cache keys.
        dim: Width of the tokens and of the pooled vector.
    """

    identity: str
    dim: int

    def encode(self, texts: Sequence[str]) -> EncodedTexts:
        """Encode each text; longer ones are cut at 77 tokens."""


class OpenClipInstructionEncoder:
    """The text tower of an open_clip CLIP: tokens after its last LayerNorm; pooled is the projected text embedding."""

    def __init__(self, folder: Path, device: torch.device | str) -> None:
        """Read the configuration in `folder` (open_clip's layout); raises WeightsError if it is not a plain CLIP."""
        self._config = read_config("instruction_encoder", folder)
        _check_plain_clip(self._config, folder)
        self._weights = folder / PARTS["instruction_encoder"].weights
        self._device = torch.device(device)
        self._tokenizer_options, merges = tokenizer_options(self._config, folder)
        text = {key: value for key, value in self._config.items() if key != "vision_cfg"}
        contents = [json.dumps(text, sort_keys=True).encode(), fingerprint(self._weights).encode(), *merges]
        self.identity = f"open-clip-{_digest(*contents)}"
        self.dim = int(self._config["embed_dim"])

    @classmethod
    def from_config(cls, config: BaseConfig, device: torch.device | str) -> "OpenClipInstructionEncoder":
        """Find the instruction encoder of `config`; raises WeightsError if it is missing."""
        return cls(locate(config, ["instruction_encoder"])["instruction_encoder"], device)

    def encode(self, texts: Sequence[str]) -> EncodedTexts:
        """Encode each text (see `InstructionEncoder`)."""
        context = int(self._config["text_cfg"].get("context_length", 77))
        result = _empty(len(texts), context, self.dim)
        for start in range(0, len(texts), _BATCH):
            rows = slice(start, start + _BATCH)
            ids = self._tokenizer(list(texts[rows]), context_length=context)
            last = ids.argmax(dim=1, keepdim=True)  # the end-of-text token has the highest number
            result.mask[rows] = torch.arange(context) <= last
            lengths = [len(self._tokenizer.encode(text)) + 2 for text in texts[rows]]  # 2: begin and end
            result.cut[rows] = torch.tensor(lengths) > context
            tokens, pooled = self._forward(ids.to(self._device))
            result.tokens[rows], result.pooled[rows] = tokens.cpu(), pooled.cpu()
        return result

    def _forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        normed: list[Tensor] = []
        hook = self._model.ln_final.register_forward_hook(lambda *call: normed.append(call[-1]))
        try:
            with frozen_forward(self._device):
                pooled = self._model.encode_text(ids)
        finally:
            hook.remove()
        return normed[0], pooled

    @cached_property
    def _tokenizer(self) -> "SimpleTokenizer":
        from open_clip import SimpleTokenizer

        return SimpleTokenizer(**self._tokenizer_options)

    @cached_property
    def _model(self) -> "CLIP":
        """The CLIP without its image tower, which would be two thirds of it and is never filled."""
        from open_clip import CLIP

        with torch.device("meta"):
            model = CLIP(**self._config)
        del model.visual
        try:
            with safe_open(self._weights, "pt") as file:
                names = [name for name in file.keys() if not name.startswith("visual.")]  # noqa: SIM118
                model.load_state_dict({name: file.get_tensor(name).float() for name in names}, assign=True)
        except (OSError, RuntimeError) as error:
            raise WeightsError(f"cannot load the text tower from {self._weights}: {error}") from error
        if model.attn_mask is not None:  # causal; files do not hold it
            model.attn_mask = torch.full(model.attn_mask.shape, float("-inf")).triu_(1)
        freeze(model)
        return model.to(self._device)


class SdTextInstructionEncoder:
    """SD's own CLIP-L, as the released checkpoint uses: last hidden states; pooled is the end-of-text token's."""

    def __init__(self, text_encoder: Path, tokenizer: Path, device: torch.device | str) -> None:
        """Read the configuration; the folders are in the layout of transformers."""
        self._folder, self._device = text_encoder, torch.device(device)
        weights = text_encoder / PARTS["text_encoder"].weights
        self.identity = f"sd-text-{_digest((text_encoder / 'config.json').read_bytes(), fingerprint(weights).encode())}"
        self.dim = int(read_config("text_encoder", text_encoder).hidden_size)
        self._tokenizer = load_part("tokenizer", tokenizer, torch.float32, self._device)

    @classmethod
    def from_config(cls, config: BaseConfig, device: torch.device | str) -> "SdTextInstructionEncoder":
        """Find the text encoder and tokenizer of `config`; raises WeightsError if they are missing."""
        folders = locate(config, ["text_encoder", "tokenizer"])
        return cls(folders["text_encoder"], folders["tokenizer"], device)

    def encode(self, texts: Sequence[str]) -> EncodedTexts:
        """Encode each text (see `InstructionEncoder`)."""
        result = _empty(len(texts), self._tokenizer.model_max_length, self.dim)
        for start in range(0, len(texts), _BATCH):
            rows = slice(start, start + _BATCH)
            batch = self._tokenizer(list(texts[rows]), padding="max_length", truncation=True, return_tensors="pt")
            with frozen_forward(self._device):
                output = self._model(batch.input_ids.to(self._device))
            result.mask[rows] = batch.attention_mask.bool()
            result.cut[rows] = torch.tensor([bool(encoding.overflowing) for encoding in batch.encodings])
            result.tokens[rows], result.pooled[rows] = output.last_hidden_state.cpu(), output.pooler_output.cpu()
        return result

    @cached_property
    def _model(self) -> nn.Module:
        model: nn.Module = load_part("text_encoder", self._folder, torch.float32, self._device)
        return model


def tokenizer_options(config: dict[str, Any], folder: Path) -> tuple[dict[str, Any], list[bytes]]:
    """What `SimpleTokenizer` is made with, and the content of the merges file if the model brings its own."""
    options = dict(config["text_cfg"].get("tokenizer_kwargs") or {})
    if "bpe_path" not in options:
        return options, []
    merges = folder / options["bpe_path"]
    try:
        return options | {"bpe_path": str(merges)}, [merges.read_bytes()]
    except OSError as error:
        raise WeightsError(f"instruction_encoder in {folder} lacks its tokenizer's merges: {error}") from error


def _check_plain_clip(config: dict[str, Any], folder: Path) -> None:
    text = config["text_cfg"]
    strange = [key for key in ("custom_text", "multimodal_cfg") if config.get(key)]
    strange += [f"text_cfg.{key}" for key in ("hf_model_name", "hf_tokenizer_name", "embed_cls") if text.get(key)]
    if text.get("pool_type", "argmax") != "argmax":
        strange.append("text_cfg.pool_type")
    if text["width"] != config["embed_dim"]:
        strange.append("text_cfg.width other than embed_dim")
    if strange:
        raise WeightsError(
            f"instruction_encoder in {folder} is not a plain CLIP ({', '.join(strange)}); use one like ViT-H/14"
        )


def _empty(texts: int, context: int, dim: int) -> EncodedTexts:
    mask = torch.zeros(texts, context, dtype=torch.bool)
    cut = torch.zeros(texts, dtype=torch.bool)
    return EncodedTexts(torch.zeros(texts, context, dim), mask, torch.zeros(texts, dim), cut)


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:32]
