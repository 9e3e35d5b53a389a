"""The CLIP that scores, by its name in open_clip or from a folder, and embeddings that are computed only once."""

import hashlib
import json
import logging
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from torch import Tensor

from ipai.backbones.instruction_encoder import tokenizer_options
from ipai.backbones.loading import freeze, read_config
from ipai.backbones.quiet import quiet_bars
from ipai.backbones.shipped import shipped_stack
from ipai.data.images import MAX_PIXELS, decode_image
from ipai.errors import WeightsError
from ipai.files import cache_folder, fingerprint

TOY = "toy"
_WEIGHTS = "open_clip_model.safetensors"
log = logging.getLogger(__name__)


class ClipModel:
    """Embeds pictures and texts; both towers in fp32, as scores should not depend on the machine's half precision.

    Args:
        name: A model of open_clip such as `ViT-L-14`, a folder in open_clip's layout, or `toy`, the toy world's own.
        pretrained: open_clip's tag of the weights, such as `openai`; None with a folder, which holds its own.
        device: Where it runs.
        batch_size: How many pictures or texts it takes at once.
        cache: Where embeddings of pictures are kept by content; None keeps none.

    Attributes:
        identity: Names the weights; equal wherever they lie.

    Raises:
        WeightsError: open_clip knows no such model or tag, the weights cannot be had, or the folder is of another kind.
    """

    def __init__(
        self,
        name: str,
        pretrained: str | None,
        device: torch.device | str = "cpu",
        batch_size: int = 32,
        cache: Path | None = None,
    ) -> None:
        folder = shipped_stack() / "instruction_encoder" if name == TOY else Path(name).expanduser()
        if folder.is_dir():
            self._model, self._preprocess, self._tokenize = _from_folder(folder)
            self.identity = f"{folder.name if name != TOY else TOY}-{fingerprint(folder / _WEIGHTS)[:16]}"
        else:
            self._model, self._preprocess, self._tokenize = _by_name(name, pretrained)
            self.identity = f"{name}-{pretrained}"
        self._model.eval()
        freeze(self._model)
        self._model.to(device)
        self._device, self._batch_size = torch.device(device), batch_size
        self._recent: OrderedDict[bytes, Tensor] = OrderedDict()
        self._most = 0
        self._kept = None if cache is None else EmbeddingFile(cache / f"{self.identity.replace('/', '-')}.sqlite")

    def remember(self, pictures: int) -> None:
        """Keep the embeddings of so many pictures in memory, beside the file if there is one."""
        self._most = pictures

    def pictures(self, contents: Sequence[bytes], progress: Callable[[int], object] = lambda _: None) -> Tensor:
        """Embed picture files (PNG, JPEG...), each distinct one once: fp32 [N, D] on the CPU.

        Args:
            contents: The files' bytes, readable by Pillow.
            progress: Told how many pictures are done since the last call.

        Raises:
            DataError: One of them is no picture.
        """
        keys = [hashlib.sha256(content).digest() for content in contents]
        known: dict[bytes, Tensor] = {} if self._kept is None else self._kept.read(keys)
        known |= {key: self._recent[key] for key in keys if key in self._recent}
        missing = {key: content for key, content in zip(keys, contents, strict=True) if key not in known}
        progress(len(contents) - len(missing))
        names = list(missing)
        for start in range(0, len(names), self._batch_size):
            chunk = names[start : start + self._batch_size]
            pixels = torch.stack([self._preprocess(decode_image(missing[key], MAX_PIXELS)) for key in chunk])
            rows = dict(zip(chunk, self._embed(self._model.encode_image, pixels), strict=True))
            if self._kept is not None:
                self._kept.write(rows)
            known |= rows
            progress(len(chunk))
        self._recent.update((key, known[key]) for key in keys if self._most)
        while len(self._recent) > self._most:
            self._recent.popitem(last=False)
        return torch.stack([known[key] for key in keys])

    def texts(self, texts: Sequence[str]) -> Tensor:
        """Embed texts, each distinct one once: fp32 [N, D] on the CPU; longer ones are cut at CLIP's 77 tokens."""
        distinct = list(dict.fromkeys(texts))
        rows: dict[str, Tensor] = {}
        for start in range(0, len(distinct), self._batch_size):
            chunk = distinct[start : start + self._batch_size]
            rows |= dict(zip(chunk, self._embed(self._model.encode_text, self._tokenize(chunk)), strict=True))
        return torch.stack([rows[text] for text in texts])

    def _embed(self, encode: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
        # Padded to one size: a matrix product may round differently for another number of rows, and an embedding must
        # not depend on how many others were missing in the file.
        count = len(inputs)
        padded = torch.cat([inputs, inputs[:1].expand(self._batch_size - count, *inputs.shape[1:])])
        with torch.no_grad():
            return encode(padded.to(self._device)).float().cpu()[:count]


class EmbeddingFile:
    """Rows of numbers by content hash in a SQLite file, which several processes may use at once.

    Args:
        path: Of the file; a folder that cannot be written raises OSError.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        with closing(self._open()) as connection, connection:
            connection.execute("CREATE TABLE IF NOT EXISTS rows (key BLOB PRIMARY KEY, row BLOB) WITHOUT ROWID")

    def read(self, keys: Sequence[bytes]) -> dict[bytes, Tensor]:
        """The rows [D] that are there."""
        found = {}
        with closing(self._open()) as connection:
            for key in dict.fromkeys(keys):
                row = connection.execute("SELECT row FROM rows WHERE key = ?", (key,)).fetchone()
                if row is not None:
                    found[key] = torch.from_numpy(np.frombuffer(row[0], dtype="<f4").copy())
        return found

    def write(self, rows: dict[bytes, Tensor]) -> None:
        """Keep rows fp32 [D]."""
        values = [(key, row.numpy().astype("<f4").tobytes()) for key, row in rows.items()]
        with closing(self._open()) as connection, connection:
            connection.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?)", values)

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=60)


def embedding_cache() -> Path:
    """Where embeddings are kept for later evaluations."""
    return cache_folder() / "clip"


def _from_folder(folder: Path) -> tuple[Any, Any, Callable[[list[str]], Tensor]]:
    if not (folder / _WEIGHTS).is_file():
        raise WeightsError(f"{folder} holds no {_WEIGHTS}; clip.model= wants a folder in open_clip's layout")
    config = read_config("instruction_encoder", folder)  # one layout, so one reader
    options, _ = tokenizer_options(config, folder)
    context = int(config["text_cfg"].get("context_length", 77))
    tokenizer = open_clip.SimpleTokenizer(**options)
    try:
        model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    except (OSError, RuntimeError, ValueError, json.JSONDecodeError) as error:
        raise WeightsError(f"clip.model={folder} cannot be loaded: {error}") from error
    return model, preprocess, lambda texts: tokenizer(texts, context_length=context)


def _by_name(name: str, pretrained: str | None) -> tuple[Any, Any, Callable[[list[str]], Tensor]]:
    if name not in open_clip.list_models():
        raise WeightsError(
            f"clip.model={name} is neither a folder nor a model of open_clip; give one such as ViT-L-14, or toy"
        )
    tags = open_clip.list_pretrained_tags_by_model(name)
    if pretrained not in tags:
        raise WeightsError(f"clip.pretrained={pretrained} is none of open_clip's for {name}: {', '.join(tags)}")
    # OpenAI's weights were trained with another GELU than the plain names stand for, and open_clip only warns.
    quick = bool(open_clip.get_pretrained_cfg(name, pretrained).get("quick_gelu"))
    log.info("loading %s (%s)", name, pretrained)
    try:
        with quiet_bars():
            model, preprocess = open_clip.create_model_from_pretrained(name, pretrained, force_quick_gelu=quick)
    except Exception as error:  # httpx, the hub and the disk each have errors of their own
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(
            f"the weights {pretrained} of {name} cannot be had ({first}); connect once to download them, or point "
            "clip.model at a folder in open_clip's layout"
        ) from error
    return model, preprocess, open_clip.get_tokenizer(name)
