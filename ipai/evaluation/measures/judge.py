"""A language model that sees a condition and an answer, and says how much of the one is in the other.

One question for each pair, with all respects at once, so that one is not taken for another; the manner of VIEScore
(2312.14867) and DreamBench++ (2406.16855), whose scales and reasons before numbers these are.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from PIL import Image

from ipai.data.images import MAX_PIXELS, decode_image
from ipai.errors import ConfigError
from ipai.evaluation.measures.settings import JUDGED, JudgeChoice
from ipai.llm.asking import Tally, ask_all
from ipai.llm.cache import AnswerCache
from ipai.llm.client import key_of
from ipai.llm.config import cache_path, problems_of
from ipai.llm.question import Flaw, Form, Question, picture_part, text_part
from ipai.pages import data_url

log = logging.getLogger(__name__)

_PROMPT = Path(__file__).with_name("judge.txt")
_MOST = 10


class Verdict(Form):
    """What the model fills in."""

    reasons: str
    style: int
    composition: int
    object: int
    face: int | None


@dataclass
class Judge:
    """Asks about pairs; what was answered once is never asked again.

    Args:
        settings: Whom to ask, and how large the pictures are sent.
        scope: Who pays: the budget is of all evaluations into this folder.

    Raises:
        ConfigError: The settings cannot work, or the environment holds no key.
    """

    settings: JudgeChoice
    scope: str
    prompt: str = field(default_factory=lambda: _PROMPT.read_text(encoding="utf-8"), init=False)
    _last: tuple[list[str], list[Verdict | None]] = field(default=([], []), init=False)

    def __post_init__(self) -> None:
        """Refuse settings that cannot work, before anything is drawn."""
        problems = list(problems_of(self.settings, "judge"))
        if self.settings.mode != "live":
            problems.append("judge.mode=batch answers hours later, and an evaluation waits for its numbers; use live")
        if problems:
            raise ConfigError("\n".join(problems))
        if not self._asked_before():  # else all may be known
            key_of(self.settings)

    def _asked_before(self) -> bool:
        path = cache_path(self.settings)
        if not path.exists():
            return False
        cache = AnswerCache(path)
        try:
            return cache.spent(self.scope).requests > 0
        finally:
            cache.close()

    @cached_property
    def identity(self) -> str:
        """Of all that decides an answer but the pictures."""
        settings = self.settings
        decides = [settings.model, settings.temperature, settings.detail, settings.side, self.prompt]
        return "judge-" + _digest([decides, Verdict.model_json_schema()])[:16]

    def verdicts(self, pictures: Sequence[bytes], conditions: Sequence[bytes]) -> list[Verdict | None]:
        """What is said of each pair of picture files; None where the model refused or gave nothing of use.

        Raises:
            DataError: One is no picture, the budget is used up, or the server refuses or stays down. Answers are kept.
        """
        keys = [_digest([self.identity, _sha(one), _sha(two)]) for one, two in zip(pictures, conditions, strict=True)]
        if keys != self._last[0]:  # each column asks for the same ones
            self._last = keys, self._settled(keys, pictures, conditions)
        return self._last[1]

    def _settled(self, keys: list[str], pictures: Sequence[bytes], conditions: Sequence[bytes]) -> list[Verdict | None]:
        cache = AnswerCache(cache_path(self.settings))
        try:
            known = {key for key in keys if cache.answer(key) is not None}
            missing = {key: place for place, key in enumerate(keys) if key not in known}
            if missing:
                asked = (self._question(key, pictures[place], conditions[place]) for key, place in missing.items())
                tally = Tally()
                ask_all(asked, len(missing), self.settings, self.scope, tally, lambda _: None)
                log.info("judge: %s", tally.text())
            answers = [cache.answer(key) for key in keys]
        finally:
            cache.close()
        return [
            Verdict.model_validate_json(one.content) if one is not None and one.outcome == "text" else None
            for one in answers
        ]

    def _question(self, key: str, picture: bytes, condition: bytes) -> Question:
        shown = [data_url(self._sent(content), "jpeg") for content in (condition, picture)]
        parts = (text_part(self.prompt), *(picture_part(url, self.settings.detail) for url in shown))
        return Question(key, _digest([self.identity]), parts, Verdict, _flaw_of)

    def _sent(self, content: bytes) -> Image.Image:
        small = decode_image(content, MAX_PIXELS)
        small.thumbnail((self.settings.side, self.settings.side), Image.Resampling.LANCZOS)
        return small


@dataclass(frozen=True)
class JudgedRespect:
    """One column of what a judge says: 0 to 1, or None where there is nothing to say."""

    judge: Judge
    respect: str

    def __call__(self, pictures: Sequence[bytes], conditions: Sequence[bytes]) -> list[float | None]:
        """A number for each pair of picture files; raises as `Judge.verdicts`."""
        said = [getattr(one, self.respect, None) for one in self.judge.verdicts(pictures, conditions)]
        return [None if value is None else value / _MOST for value in said]

    def described(self) -> dict[str, str]:
        """For the record: the model, and what decides its answers."""
        settings = self.judge.settings
        return {
            "weights": settings.model, "identity": self.judge.identity, "licence": "as its server says",
            "preprocessing": f"JPEG, longer side {settings.side} px at most, detail {settings.detail}",
        }  # fmt: skip


def judged(judge: Judge) -> dict[str, JudgedRespect]:
    """All columns of a judge, by the names of `JUDGED`."""
    return {name: JudgedRespect(judge, respect) for name, respect in JUDGED.items()}


def _flaw_of(verdict: Verdict) -> Flaw | None:
    numbers = [verdict.style, verdict.composition, verdict.object, *([] if verdict.face is None else [verdict.face])]
    return None if all(0 <= one <= _MOST for one in numbers) else Flaw("fault", f"numbers must be 0 to {_MOST}")


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _digest(value: object) -> str:
    return _sha(json.dumps(value, sort_keys=True).encode())
