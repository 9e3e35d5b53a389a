"""What is asked of a language model, and what came back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import BaseModel


class Form(BaseModel, extra="forbid"):
    """The shape that an answer must have; each kind of question has its own."""


class Flaw(NamedTuple):
    """What keeps an answer of the right form from being used: `outcome` is refused or fault, `why` is for the model."""

    outcome: str
    why: str


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        key: Its identity (64 hexadecimal digits): equal keys are asked once and answered alike.
        kind: Identity of what it has in common with others; questions of one kind cost about the same.
        content: What the user says: parts of text and pictures, as the chat-completions API writes them.
        form: The shape of the answer.
        judge: Finds what keeps an answer of that form from being used, or None.
    """

    key: str
    kind: str
    content: tuple[dict[str, Any], ...]
    form: type[Form]
    judge: Callable[[Any], Flaw | None]


@dataclass(frozen=True)
class Usage:
    """Tokens that a request was charged for."""

    input: int
    output: int


@dataclass(frozen=True)
class Reply:
    """What the model said to one request.

    Attributes:
        outcome: text (an answer of the right form), refused, fault (the right form, but it breaks a rule), or broken:
            no answer in the form, which is for the settings or the server to mend, and says nothing of the question.
        content: The answer as JSON, the words of the refusal, or what is wrong.
        usage: None where the server does not say.
        model: The model that the server names; more exact than the one that was asked.
        came: How the text began that could not be used, for messages.
    """

    outcome: str
    content: str
    usage: Usage | None
    model: str
    came: str = ""


@dataclass(frozen=True)
class Answer:
    """What is known of a question for good.

    Attributes:
        outcome: text, refused or unusable.
        content: As in `Reply`.
        model: The model that answered.
        date: The day of the answer, UTC, such as 2026-11-23.
    """

    outcome: str
    content: str
    model: str
    date: str


def text_part(text: str) -> dict[str, Any]:
    """A part of text."""
    return {"type": "text", "text": text}


def picture_part(url: str, detail: str) -> dict[str, Any]:
    """A part that is a picture, given as a data URL."""
    return {"type": "image_url", "image_url": {"url": url, "detail": detail}}
