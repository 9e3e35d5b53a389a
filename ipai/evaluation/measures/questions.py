"""Whether a picture shows what a text says: how sure of "yes" is a model that sees and answers (VQAScore, 2404.01291).

Asked with the prompt it says whether the answer shows what it should; with the condition's caption, whether the
condition's content came along.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from ipai.backbones.config import WeightsRef
from ipai.backbones.loading import freeze
from ipai.backbones.quiet import quiet_bars
from ipai.clip.model import EmbeddingFile
from ipai.data.images import MAX_PIXELS, decode_image
from ipai.errors import WeightsError
from ipai.evaluation.measures.settings import LICENCES, VQA, MeasureWeights
from ipai.files import fingerprint

_QUESTION = 'Does this figure show "{text}"? Please answer yes or no.'  # VQAScore's
_ANSWERS = ("Yes", " Yes", "yes", " yes")  # a tokenizer may keep the space before a word with it
_YES = "yes"
_FILES = ["*.json", "*.safetensors", "*.txt", "*.jinja", "*.model"]
_OPTIONS = {"local_files_only": True, "trust_remote_code": False}


class YesProbability:
    """Asks about pictures one at a time, so that an answer does not depend on what else was asked; answers are kept.

    Args:
        ref: A hub id or a folder of a vision-language model in transformers' layout, with a chat template.
        device: Where it runs; in bfloat16 on a GPU.
        cache: Folder for answers; None keeps none.

    Raises:
        WeightsError: It cannot be had, transformers cannot load it, or its tokenizer has no word for "yes".
    """

    def __init__(self, ref: WeightsRef, device: torch.device, cache: Path | None) -> None:
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        folder = fetched(ref)
        try:
            with quiet_bars():
                self._processor: Any = AutoProcessor.from_pretrained(folder, **_OPTIONS)
                model: Any = AutoModelForImageTextToText.from_pretrained(
                    folder, use_safetensors=True, dtype=dtype, **_OPTIONS
                )
            self._asked(Image.new("RGB", (64, 64)), "a picture")
            self._yes = self._tokens_of_yes()
        except (OSError, ValueError, RuntimeError, KeyError, ImportError, AttributeError) as error:
            raise _unusable(ref, error) from error
        if not self._yes:
            raise WeightsError(f"the tokenizer of {ref} has no token that says yes")
        freeze(model)
        self._model, self._device, self._dtype = model.to(device), device, dtype
        self.identity = f"vqa-{_identity(folder)}-{str(dtype).removeprefix('torch.')}"
        self._kept = None if cache is None else EmbeddingFile(cache / f"{self.identity}.sqlite")

    def __call__(self, pictures: Sequence[bytes], texts: Sequence[str | None]) -> list[float | None]:
        """A probability for each picture file and text; None where there is no text.

        Raises:
            DataError: One is no picture.
        """
        return [
            None if text is None else self._kept_answer(picture, text)
            for picture, text in zip(pictures, texts, strict=True)
        ]

    def described(self, ref: WeightsRef) -> dict[str, str]:
        """For the record, without a folder of this machine: weights, their content, licence, and what is asked."""
        theirs = ref.id == MeasureWeights().vqa.id
        return {
            "weights": self.identity if Path(ref.id).expanduser().exists() else str(ref),
            "identity": self.identity,
            "licence": LICENCES[VQA] if theirs else "as its owner says",
            "preprocessing": f"the model's own; asked: {_QUESTION}",
        }

    def _kept_answer(self, picture: bytes, text: str) -> float:
        key = hashlib.sha256(hashlib.sha256(picture).digest() + text.encode()).digest()
        if self._kept is not None and (known := self._kept.read([key])):
            return float(known[key])
        found = self._answer(picture, text)
        if self._kept is not None:
            self._kept.write({key: torch.tensor([found])})
        return found

    @torch.no_grad()
    def _answer(self, picture: bytes, text: str) -> float:
        inputs = self._asked(decode_image(picture, MAX_PIXELS), text)
        logits = self._model(**inputs.to(self._device, dtype=self._dtype)).logits[0, -1].float()
        return float(logits.softmax(0)[self._yes].sum())

    def _asked(self, picture: Image.Image, text: str) -> Any:
        content = [{"type": "image", "image": picture}, {"type": "text", "text": _QUESTION.format(text=text)}]
        return self._processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
        )  # fmt: skip

    def _tokens_of_yes(self) -> list[int]:
        tokenizer = self._processor.tokenizer
        first = {tokenizer.encode(answer, add_special_tokens=False)[0] for answer in _ANSWERS}
        return sorted(token for token in first if tokenizer.decode([token]).strip().lower() == _YES)


def fetched(ref: WeightsRef) -> Path:
    """The local folder of such a model, downloaded if need be.

    Raises:
        WeightsError: It is neither there nor to be had.
    """
    folder = Path(ref.id).expanduser()
    try:
        if not folder.is_dir():
            folder = Path(snapshot_download(ref.id, revision=ref.revision, allow_patterns=_FILES))
    except (OSError, ValueError) as error:
        raise _unusable(ref, error) from error
    return folder / (ref.subfolder or "")


def _unusable(ref: WeightsRef, error: Exception) -> WeightsError:
    return WeightsError(
        f"cannot load {ref} as a model that answers questions about pictures: {error}; give measure_weights.vqa.id a "
        "local folder or a hub id, or connect once to download it"
    )


def _identity(folder: Path) -> str:
    """The content of its weights."""
    files = sorted(folder.glob("*.safetensors"))
    return hashlib.sha256("".join(fingerprint(path) for path in files).encode()).hexdigest()[:16]
