"""Which of the model's lines become instructions: cleaned, filtered by the rules of the pools, without duplicates."""

import re
from collections import Counter

from data_builders.captions.checks import is_refusal
from ipai.instructions.keywords import foreign_keyword, holds_keyword
from ipai.instructions.pools import normalised
from ipai.instructions.slots import slots_in
from ipai.tasks import get_task
from ipai.words import one_line

_LONGEST = 400  # characters
_MARKER = re.compile(r"^(?:\d{1,3}[.):]|[-*•–])\s+")  # noqa: RUF001
_QUOTES = "\"'“”‘’`"  # noqa: RUF001


class Collection:
    """The instructions of a task so far, in the order in which they came, and why lines were left out."""

    def __init__(self, task: str, max_words: int, max_overlap: float) -> None:
        self.lines: list[str] = []
        self.dropped: Counter[str] = Counter()
        self._task = get_task(task)
        self._max_words = max_words
        self._max_overlap = max_overlap
        self._words: dict[str, frozenset[str]] = {}

    def add(self, line: str) -> None:
        """Take a line of the model in, or count why not."""
        text = self._with_slot(_cleaned(line))
        reason = self._fault(text)
        if reason is None:
            self.lines.append(text)
            self._words[normalised(text)] = _words(text)
        else:
            self.dropped[reason] += 1

    def _fault(self, text: str) -> str | None:
        own = f"{{{self._task.slot}}}" if self._task.slot else None
        if not text or not normalised(text):
            return "empty"
        if len(text) > _LONGEST or len(text.split()) > self._max_words:
            return "too_long"
        if text.startswith("#") or "\ufffd" in text or any(slot != own for slot in slots_in(text)):
            return "characters"
        if is_refusal(text):
            return "refusal"
        if foreign_keyword(text, self._task.name):
            return "key_word"
        if own and holds_keyword(text.replace(own, " "), self._task.name):
            return "plural"  # which no name can take the place of
        if own and own not in text:
            return "no_slot"
        if normalised(text) in self._words:
            return "duplicate"
        return "near_duplicate" if self._is_near(_words(text)) else None

    def _is_near(self, words: frozenset[str]) -> bool:
        return any(len(words & other) > self._max_overlap * len(words | other) for other in self._words.values())

    def _with_slot(self, text: str) -> str:
        """The task's own key word, braces or not, becomes its slot."""
        slot, word = self._task.slot, self._task.keyword
        return re.sub(rf"\{{?\b{word}\b\}}?", f"{{{slot}}}", text, flags=re.IGNORECASE) if slot else text


def _cleaned(line: str) -> str:
    """Without numbering, bullets and quotation marks around it, on one line."""
    text = _MARKER.sub("", one_line(line))
    inner = text.strip(_QUOTES)
    return inner.strip() if text[:1] in _QUOTES and text[-1:] in _QUOTES else text


def _words(text: str) -> frozenset[str]:
    return frozenset(normalised(text).split())
