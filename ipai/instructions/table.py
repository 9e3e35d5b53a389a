"""Encoded instructions (paper section 3.1): those known at the start from a file, the others on demand.

The pools are encoded once and stored; templates whose slot is filled cannot be (1,100 templates times 80 names at
0.3 MB each are 28 GB), so `embed` encodes what it meets and keeps the rows used last.

Every text is encoded on its own. A matrix product may round differently for another batch size, so a row that was
encoded beside others would depend on its company, and a resumed run would differ in the last bits. The price is one
small forward pass a text: paid once for the pools, and in training for the rows that memory does not hold.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from ipai.errors import WeightsError
from ipai.instructions.stored_rows import Rows, read_rows, rows_path, write_rows

if TYPE_CHECKING:  # it needs open_clip, which takes seconds to import
    from ipai.backbones.instruction_encoder import InstructionEncoder

Mode = Literal["tokens", "pooled"]
NULL_INSTRUCTION = ""
_QUOTED = 60  # letters of an instruction in a message

log = logging.getLogger(__name__)


class EmbeddingTable:
    """Maps instructions to what the adapter attends to: tokens [B, T, D] fp32 and their mask [B, T] bool.

    T is 77 (mode "tokens") or 1 (mode "pooled", mask all True). Row 0 is the null instruction "". Made by `build`.

    Attributes:
        texts: The instructions of the rows, in their order.
        cut: Those met so far that are longer than the encoder reads: it does not hear their ends.
    """

    def __init__(self, texts: Sequence[str], rows: Rows, encode: Callable[[str], Rows], max_rows: int) -> None:
        self.texts = tuple(texts)
        self._rows = rows
        self._encode = encode
        self._max_rows = max_rows
        self._index = {text: index for index, text in enumerate(self.texts)}
        self._recent: OrderedDict[str, Rows] = OrderedDict()
        self.cut: set[str] = set()
        self._say_cut([text for text, cut in zip(self.texts, rows.cut.tolist(), strict=True) if cut])

    @classmethod
    def build(
        cls,
        texts: Sequence[str],
        identity: str,
        make_encoder: Callable[[], "InstructionEncoder"],
        *,
        mode: Mode = "tokens",
        device: torch.device | str = "cpu",
        max_rows: int = 4096,
        folder: Path | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> "EmbeddingTable":
        """Encode `texts` and the null instruction, or read them from the file that an earlier call left.

        Args:
            texts: Instructions known at the start; repeated ones share a row.
            identity: The encoder's `identity`: names its weights and tokenizer by content.
            make_encoder: Loads the encoder; called once, when the first text has to be encoded.
            mode: "tokens" for the token sequence, "pooled" for one vector a text.
            device: Where rows are kept and returned.
            max_rows: How many rows `embed` keeps besides those of `texts`; they change the speed, never a value.
            folder: Where the file lies; None for the folder of derived files (`ipai.files.cache_folder`).
            progress: Called after each text is encoded with (number done, number in all).

        Raises:
            WeightsError: The encoder cannot be loaded, is not the one that `identity` names, or gives a value that
                is not finite.
        """
        distinct = tuple(dict.fromkeys([NULL_INSTRUCTION, *texts]))
        single = _SingleTexts(identity, make_encoder, mode)
        path = rows_path(folder, identity, mode, distinct)
        rows = read_rows(path, len(distinct))
        if rows is None:
            log.info("encoding %d instructions; they are kept in %s", len(distinct), path)
            rows = _encode_all(distinct, single, progress)
            write_rows(path, rows)
        return cls(distinct, rows.to(device), lambda text: single(text).to(device), max_rows)

    def __len__(self) -> int:
        return len(self.texts)

    def embed(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Tokens [B, T, D] and mask [B, T] of any B >= 1 texts; equal bits whatever was asked before or beside them.

        Raises:
            WeightsError: As `build`.
        """
        found = {text: self._row(text) for text in dict.fromkeys(texts)}
        self._remember(found)
        self._say_cut([text for text, row in found.items() if text not in self._index and bool(row.cut)])
        return torch.stack([found[text].tokens for text in texts]), torch.stack([found[text].mask for text in texts])

    def _row(self, text: str) -> Rows:
        if text in self._index:
            index = self._index[text]
            return Rows(self._rows.tokens[index], self._rows.mask[index], self._rows.cut[index])
        return self._recent[text] if text in self._recent else self._encode(text)

    def _say_cut(self, texts: Sequence[str]) -> None:
        """Say of the first instructions that are cut what is lost, and keep all in mind."""
        new = [text for text in texts if text not in self.cut]
        if new and not self.cut:
            log.warning(
                "%s longer than the instruction encoder reads, so what stands last is not heard; the first begins %r",
                "an instruction is" if len(new) == 1 else f"{len(new)} instructions are", new[0][:_QUOTED],
            )  # fmt: skip
        self.cut.update(new)

    def _remember(self, used: dict[str, Rows]) -> None:
        """Keep the rows used last. Only after a whole batch: a batch may hold more texts than are kept."""
        for text, row in used.items():
            if text not in self._index:
                self._recent[text] = row
                self._recent.move_to_end(text)
        while len(self._recent) > self._max_rows:
            self._recent.popitem(last=False)


class _SingleTexts:
    """Encodes one text at a time with an encoder that is loaded at the first."""

    def __init__(self, identity: str, make_encoder: Callable[[], "InstructionEncoder"], mode: Mode) -> None:
        self._identity = identity
        self._make_encoder = make_encoder
        self._mode = mode
        self._encoder: InstructionEncoder | None = None

    def __call__(self, text: str) -> Rows:
        """Row of `text`: tokens [T, D] and mask [T], on the CPU."""
        self._encoder = self._encoder or self._load()
        tokens, mask, pooled, cut = self._encoder.encode([text])
        if self._mode == "pooled":
            tokens, mask = pooled[:, None], torch.ones(1, 1, dtype=torch.bool)
        if not tokens.isfinite().all():
            raise WeightsError(
                f"the instruction encoder {self._identity} gives values that are not finite for {text!r}"
            )
        return Rows(tokens[0], mask[0], cut[0])

    def _load(self) -> "InstructionEncoder":
        encoder = self._make_encoder()
        if encoder.identity != self._identity:
            raise WeightsError(f"expected the instruction encoder {self._identity}, got {encoder.identity}")
        return encoder


def _encode_all(texts: Sequence[str], single: _SingleTexts, progress: Callable[[int, int], object] | None) -> Rows:
    first = single(texts[0])  # for the shapes
    rows = Rows(*(tensor.new_empty(len(texts), *tensor.shape) for tensor in first))
    for index, text in enumerate(texts):
        for all_rows, row in zip(rows, single(text), strict=True):
            all_rows[index] = row
        if progress is not None:
            progress(index + 1, len(texts))
    return rows
