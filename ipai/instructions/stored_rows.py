"""The file of encoded instructions: one for each (encoder, mode, list of texts), named by their content."""

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ipai.files import atomic_path, cache_folder

FORMAT = "ipai instruction rows 2"  # counts up when rows would come out differently for the same encoder and texts

log = logging.getLogger(__name__)


class Rows(NamedTuple):
    """One row or several: tokens fp32 [..., T, D], mask bool [..., T], and cut bool [...], which stays on the CPU."""

    tokens: Tensor
    mask: Tensor
    cut: Tensor

    def to(self, device: torch.device | str) -> "Rows":
        """The rows on `device`; the same tensors if they are there."""
        return Rows(self.tokens.to(device), self.mask.to(device), self.cut)


def rows_path(folder: Path | None, identity: str, mode: str, texts: Sequence[str]) -> Path:
    """Where the rows of `texts` are kept: below `folder`, or the folder of derived files if it is None."""
    content = json.dumps([FORMAT, identity, mode, list(texts)]).encode()
    return (folder or cache_folder()) / "instructions" / f"{hashlib.sha256(content).hexdigest()}.safetensors"


def write_rows(path: Path, rows: Rows) -> None:
    """Write the rows, whole or not at all; a folder that cannot be written only costs time, so it is a warning.

    Processes that write the same file at once leave one whole file.
    """
    try:
        with atomic_path(path) as aside:
            save_file(rows._asdict(), aside, metadata={"key": path.stem})
    except (OSError, SafetensorError) as error:
        log.warning("cannot keep the encoded instructions in %s (%s); the next start encodes them again", path, error)


def read_rows(path: Path, count: int) -> Rows | None:
    """The `count` rows in `path` on the CPU; None if there is no such file, or, with a warning, if it is damaged."""
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            if (file.metadata() or {}).get("key") != path.stem:
                raise ValueError("it holds something else")
            rows = Rows(*(file.get_tensor(name) for name in Rows._fields))
        _check_shapes(rows, count)
    except (OSError, SafetensorError, ValueError) as error:
        log.warning("cannot use the encoded instructions in %s (%s); encoding them again", path, error)
        return None
    return rows


def _check_shapes(rows: Rows, count: int) -> None:
    tokens, mask, cut = rows
    fits = tokens.ndim == 3 and mask.shape == tokens.shape[:2] and len(tokens) == count and cut.shape == (count,)
    if not (fits and tokens.dtype == torch.float32 and mask.dtype == cut.dtype == torch.bool):
        held = ", ".join(f"{name} {tensor.dtype} {list(tensor.shape)}" for name, tensor in rows._asdict().items())
        raise ValueError(f"it holds {held}")
