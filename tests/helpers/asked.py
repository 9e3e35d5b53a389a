"""Small questions for the tests of asking."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from data_builders.engine.keyed_hash import digest_of
from ipai.llm.asking import Tally, ask_all
from ipai.llm.cache import AnswerCache
from ipai.llm.config import LanguageModel
from ipai.llm.question import Answer, Flaw, Form, Question, text_part

KIND = "small questions"


class Word(Form):
    """One word."""

    word: str


def question(text: str) -> Question:
    """Asks for a word; `bad` is a word that cannot be used, `no` one that refuses."""

    def judge(answer: Word) -> Flaw | None:
        return {"bad": Flaw("fault", "it is bad"), "no": Flaw("refused", "it says no")}.get(answer.word)

    return Question(digest_of(text), KIND, (text_part(text),), Word, judge)


def model_at(url: str, folder: Path, **settings: Any) -> LanguageModel:
    """A model at a test server that keeps its answers in `folder`."""
    base: dict[str, Any] = {"model": "gpt-4o", "timeout": 5.0, "patience": 5.0, "concurrency": 4}
    return LanguageModel(base_url=url, cache=str(folder / "answers.sqlite"), **(base | settings))


def ask(texts: Iterable[str], model: LanguageModel, scope: str = "here") -> Tally:
    """Ask them all."""
    known = list(texts)
    tally = Tally()
    ask_all(map(question, known), len(known), model, scope, tally, lambda _: None)
    return tally


def answer_to(text: str, folder: Path) -> Answer | None:
    """What the cache in `folder` knows."""
    cache = AnswerCache(folder / "answers.sqlite")
    found = cache.answer(digest_of(text))
    cache.close()
    return found
