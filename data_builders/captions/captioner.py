"""Captions of pictures by a language model, as a builder sees them: `caption_of(picture)`."""

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from PIL import Image

from data_builders.captions.checks import VERSION, caption_fault, is_refusal
from data_builders.captions.prompts import load_prompt
from data_builders.engine.config import BuildConfig, OpenaiCaptioner
from data_builders.engine.image_files import encode_jpeg
from data_builders.engine.keyed_hash import digest_of
from data_builders.engine.records import Builder, Drop, Record
from ipai.errors import DataError
from ipai.llm.cache import AnswerCache
from ipai.llm.config import cache_path
from ipai.llm.question import Answer, Flaw, Form, Question, picture_part, text_part
from ipai.words import one_line

# Of the picture that is sent. It is no part of a question's identity: that is made of the pixels before it.
_JPEG_QUALITY = 85
# Tasks whose pictures show real persons close up.
_NAMELESS_TASKS = ("face",)
_LONGEST_REFUSAL = 300


@runtime_checkable
class CaptionedBuilder(Builder, Protocol):
    """A builder whose captions a language model may write.

    It asks for them in `make` with `ModelCaptioner.caption_of`; this says beforehand which pictures it will ask for.

    Attributes:
        captions_each: Pictures of a record that are asked about.
    """

    captions_each: int

    def pictures_to_caption(self, records: Sequence[Record]) -> Iterator[Image.Image | Drop]:
        """The pictures that `make` asks the captions of, record by record; one Drop for a record that it drops.

        Raises:
            DataError: As in `make`.
        """
        ...


class CaptionForm(Form):
    """What the model fills in."""

    caption: str


@dataclass(frozen=True)
class Caption:
    """A caption and what a record says of it: the model that wrote it, what was asked, and when (None: no model)."""

    text: str
    provenance: dict[str, Any] | None = None


class ModelCaptioner:
    """Turns pictures into questions, and looks their answers up. It pickles, and holds no key and no open file."""

    def __init__(self, config: OpenaiCaptioner, task: str) -> None:
        """Read the prompt; raises ConfigError if it cannot be read."""
        self.config = config
        self.prompt = load_prompt(config.prompt, config.max_words)
        self._nameless = task in _NAMELESS_TASKS

    @cached_property
    def kind(self) -> str:
        """Identity of all that decides a caption but the picture (64 hexadecimal digits)."""
        config = self.config
        return digest_of(
            {
                "prompt": self.prompt,
                "model": config.model,
                "temperature": config.temperature,
                "detail": config.detail,
                "side": config.side,
                "form": CaptionForm.model_json_schema(),
                "checks": [VERSION, config.max_words, self._nameless],
            }
        )

    def question(self, picture: Image.Image) -> Question:
        """What to ask about an RGB picture; equal pixels give equal questions."""
        small = self._sent(picture)
        url = f"data:image/jpeg;base64,{base64.b64encode(encode_jpeg(small, _JPEG_QUALITY)).decode()}"
        parts = (text_part(self.prompt), picture_part(url, self.config.detail))
        return Question(self._key(small), self.kind, parts, CaptionForm, self._judge)

    def caption_of(self, picture: Image.Image) -> Caption:
        """The caption of a picture that was asked about before; nothing is sent.

        Raises:
            Drop: caption_refused or caption_unusable.
            DataError: The picture was never asked about.
        """
        cache, key = _opened(cache_path(self.config)), self._key(self._sent(picture))
        answer = cache.answer(key)
        if answer is None and cache.failures(key):
            raise Drop("caption_unusable")
        if answer is None:
            raise DataError(
                f"{cache_path(self.config)} holds no caption of a picture that is to be built: the source or the cache "
                "has changed since the pictures were asked about; repeat the command, and that one is asked about"
            )
        if answer.outcome != "text":
            raise Drop(f"caption_{answer.outcome}")
        return Caption(one_line(json.loads(answer.content)["caption"]), self._provenance(answer))

    def card_text(self) -> str:
        """What a data card says of these captions, in Markdown."""
        config = self.config
        quoted = "\n".join(f"  > {line}" for line in self.prompt.splitlines())
        return (
            f"written by the language model `{config.model}`, which saw the picture at {config.side} px at most "
            f"(detail `{config.detail}`); `generation.caption` of each record says which version answered and when. A "
            "sample is dropped if the model refuses (`caption_refused`) or what comes cannot be used, twice "
            f"(`caption_unusable`). The prompt:\n\n{quoted}\n"
        )

    def _sent(self, picture: Image.Image) -> Image.Image:
        """The picture, no larger than the model is to see it."""
        small = picture.copy()
        small.thumbnail((self.config.side, self.config.side), Image.Resampling.LANCZOS)
        return small

    def _key(self, small: Image.Image) -> str:
        pixels = hashlib.sha256(small.tobytes()).hexdigest()
        return digest_of([self.kind, list(small.size), pixels])

    def _judge(self, answer: CaptionForm) -> Flaw | None:
        # A refusal in prose is a refusal: asking again would be paid for and refused again.
        if is_refusal(answer.caption):
            return Flaw("refused", one_line(answer.caption)[:_LONGEST_REFUSAL])
        fault = caption_fault(answer.caption, self.config.max_words, self._nameless)
        return Flaw("fault", fault) if fault else None

    def _provenance(self, answer: Answer) -> dict[str, Any]:
        asked = hashlib.sha256(self.prompt.encode()).hexdigest()
        return {"model": answer.model, "asked_for": self.config.model, "date": answer.date, "prompt_sha256": asked}


def model_captioner(config: BuildConfig) -> ModelCaptioner | None:
    """The captioner of captioner=openai; None where captions come from elsewhere.

    Raises:
        ConfigError: The prompt cannot be read.
    """
    return ModelCaptioner(config.captioner, config.task) if isinstance(config.captioner, OpenaiCaptioner) else None


@cache
def _opened(path: Path) -> AnswerCache:
    """One connection a process."""
    return AnswerCache(path)
