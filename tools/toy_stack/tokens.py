"""The toy stack's own byte-pair vocabulary, learned from the world's captions and the instruction pools.

CLIP's own has 49,408 entries; their embeddings alone would weigh more than the whole stack. This one is in the same
form, so that open_clip's and transformers' tokenizers read it: words that it does not know become shorter pieces.
"""

import gzip
import io
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from open_clip import SimpleTokenizer
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from ipai.files import atomic_path
from ipai.instructions.pools import load_pool
from ipai.tasks import TASKS
from ipai.toyworld.captions import plain_captions, rich_captions
from ipai.toyworld.factors import draw_portraits, draw_scenes

MERGES_FILE = "bpe_simple_vocab.txt.gz"
_VOCABULARY = 2312  # with the 512 single bytes; the words that occur make fewer merges than that
_CAPTIONS = 2000
# CLIP's way of cutting text into words, before any merge.
_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def learn_merges() -> list[tuple[str, str]]:
    """The merges, most frequent first; the library leaves the order of equally frequent ones to chance."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False
    )
    tokenizer.train_from_iterator((text.lower() for text in _texts()), trainer)
    return [(left, right) for left, right in json.loads(tokenizer.to_str())["model"]["merges"]]


def write_open_clip_merges(merges: Iterable[tuple[str, str]], folder: Path) -> Path:
    """Write `bpe_simple_vocab.txt.gz`, which open_clip's `SimpleTokenizer(bpe_path=...)` reads; returns its path."""
    lines = ["#version: 0.2", *(" ".join(merge) for merge in merges)]
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as file:
        file.write("\n".join(lines).encode())
    path = folder / MERGES_FILE
    with atomic_path(path) as aside:
        aside.write_bytes(packed.getvalue())
    return path


def clip_tokenizer(open_clip: SimpleTokenizer, context: int) -> CLIPTokenizer:
    """The same tokenizer in transformers' form."""
    names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {names.get(token, token): index for token, index in open_clip.encoder.items()}
    merges = sorted(open_clip.bpe_ranks, key=open_clip.bpe_ranks.__getitem__)
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=context)


def _texts() -> Iterable[str]:
    variants = np.arange(_CAPTIONS)
    for pictures in (draw_scenes(0, 0, _CAPTIONS), draw_portraits(0, 0, _CAPTIONS)):
        yield from plain_captions(pictures, variants)
        yield from rich_captions(pictures, variants)
    for task in TASKS:
        yield from load_pool(task, "train")
