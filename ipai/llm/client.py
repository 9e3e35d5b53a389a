"""One request to an OpenAI-compatible server, and what each way of failing means.

The key comes from the environment, stays in this module, and is taken out of messages. Answers are never changed: one
that repeats the key is not used.
"""

import json
import os
import re
from functools import cached_property
from types import TracebackType
from typing import Any, Self

from openai import (
    APIConnectionError,
    APIError,
    APIStatusError,
    AsyncOpenAI,
    AuthenticationError,
    InternalServerError,
    PermissionDeniedError,
    RateLimitError,
    omit,
)
from openai.types.chat import ChatCompletionMessageParam
from pydantic import ValidationError

from ipai.errors import ConfigError, DataError
from ipai.llm.bounded_http import BoundedClient
from ipai.llm.config import LanguageModel
from ipai.llm.question import Form, Question, Reply, Usage, text_part
from ipai.words import one_line

# The SDK's own retries, which wait as long as the server says; what still fails is for the caller's patience.
_RETRIES = 2
_PASSING = (408, 409, 425)
REFUSALS = ("content_policy_violation", "content_filter", "moderation_blocked")
_LONGEST_MESSAGE = 300
_LONGEST_QUOTE = 120
_SHORTEST_SECRET = 12  # servers that need no key are given a word such as "none" or "local", which any text may hold
_THOUGHTS = re.compile(r"\A.*</think(?:ing)?>", re.DOTALL)
_FENCED = re.compile(r"\A\s*```\w*\s*\n(.*?)\s*```\s*\Z", re.DOTALL)


class Unavailable(Exception):
    """The server does not answer for now; `seconds` is how long it asks to be left alone, or None."""

    def __init__(self, why: str, seconds: float | None) -> None:
        super().__init__(why)
        self.seconds = seconds


class Client:
    """Asks the questions of one language model. It connects with the first: what is all known needs no key."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model

    @cached_property
    def sdk(self) -> AsyncOpenAI:
        """The connection; raises ConfigError if the environment does not hold a key."""
        return AsyncOpenAI(
            api_key=key_of(self._model),
            base_url=self._model.base_url,
            timeout=self._model.timeout,
            max_retries=_RETRIES,
            # Pictures and key go where they were sent.
            http_client=BoundedClient(self._model.timeout, follow_redirects=False),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if "sdk" in self.__dict__:
            await self.sdk.close()

    async def ask(self, question: Question, earlier_fault: str | None) -> Reply:
        """Send a question once.

        Args:
            question: What to ask.
            earlier_fault: Why the last answer to it could not be used; the model is told.

        Raises:
            ConfigError: The environment does not hold a key.
            Unavailable: Asking again later may help.
            DataError: Asking again does not help, whatever the question.
        """
        try:
            raw = await self.sdk.chat.completions.with_raw_response.parse(
                model=self._model.model,
                messages=messages_of(question, earlier_fault),
                response_format=question.form,
                max_completion_tokens=self._model.max_tokens,
                temperature=omit if self._model.temperature is None else self._model.temperature,
            )
        except APIError as error:
            return self._refusal_in(error)
        # Usage first: an answer that breaks the schema raises below, and was paid for all the same.
        body = self.body_of(raw.text)
        if body is None:
            quote = one_line(self.without_key(raw.text))[:_LONGEST_QUOTE]
            return Reply("broken", "the server's answer is not a JSON object", None, self._model.model, quote)
        return read_reply(body, question, self._model.model)

    def body_of(self, text: str) -> dict[str, Any] | None:
        """The object that a server sends, without its choices if it repeats the key; None if it is none."""
        body = json_object(text)
        if body is not None and self._secret and self._secret in text:
            return {name: value for name, value in body.items() if name in ("usage", "model")}
        return body

    def explained(self, error: APIError) -> DataError | Unavailable:
        """What a failed request means: try later, or give up."""
        if isinstance(error, APIConnectionError):
            return Unavailable(str(error).rstrip("."), None)
        if not isinstance(error, APIStatusError):
            return Unavailable(self._quoted(error), None)
        if isinstance(error, RateLimitError) and error.code != "insufficient_quota":
            return Unavailable("it limits the rate of requests (429)", _seconds(error))
        if isinstance(error, InternalServerError) or error.status_code in _PASSING:
            return Unavailable(f"it answers with status {error.status_code}", _seconds(error))
        if 300 <= error.status_code < 400:
            return DataError(
                f"the server at {self._server()} sends requests on to another address "
                f"({one_line(self.without_key(error.response.headers.get('location', '?')))[:_LONGEST_MESSAGE]}), and "
                "nothing was sent there; if you trust it, give it as base_url"
            )
        if isinstance(error, AuthenticationError | PermissionDeniedError):
            # Not quoted: OpenAI repeats parts of the key here.
            return DataError(
                f"the server at {self._server()} refuses the key in {self._model.api_key_env} (status "
                f"{error.status_code}); check that it is valid and may use {self._model.model}"
            )
        return DataError(
            f"the server at {self._server()} refuses the request (status {error.status_code}): "
            f"{self._quoted(error)}. Check model, base_url, temperature and max_tokens"
        )

    def _refusal_in(self, error: APIError) -> Reply:
        """A refusal of this one question; any other failure is raised."""
        if isinstance(error, APIStatusError) and error.code in REFUSALS:
            return Reply("refused", self._quoted(error), Usage(0, 0), self._model.model)
        # Without its cause, which quotes the server and holds the request with its headers.
        raise self.explained(error) from None

    def _server(self) -> str:
        return self.sdk.base_url.host

    @property
    def _secret(self) -> str:
        """The key, if it is long enough to be one."""
        key = self.sdk.api_key
        return key if len(key) >= _SHORTEST_SECRET else ""

    def without_key(self, text: str) -> str:
        """A server's words for a message, the key taken out."""
        return text.replace(self._secret, "***") if self._secret else text

    def _quoted(self, error: APIError) -> str:
        return one_line(self.without_key(error.message))[:_LONGEST_MESSAGE]


def messages_of(question: Question, earlier_fault: str | None) -> list[ChatCompletionMessageParam]:
    """The conversation: one message of the user."""
    parts: list[Any] = list(question.content)
    if earlier_fault is not None:
        parts.append(text_part(f"Your last answer could not be used: {earlier_fault}. Answer again, without that."))
    return [{"role": "user", "content": parts}]


def read_reply(body: dict[str, Any], question: Question, asked: str) -> Reply:
    """What a chat completion says; nothing in it is trusted."""
    usage, model = usage_of(body), _model_of(body, asked)

    def broken(what: str, came: object = "") -> Reply:
        quote = one_line(came if isinstance(came, str) else json.dumps(came))[:_LONGEST_QUOTE]
        return Reply("broken", what, usage, model, quote)

    try:
        choice = body["choices"][0]
        message, ending = choice["message"], choice.get("finish_reason")
        refusal, content = message.get("refusal"), _text_in(message.get("content"))
    except (LookupError, TypeError, AttributeError):
        return broken("it holds no message", body)
    if ending == "content_filter":
        return Reply("refused", "content filter", usage, model)
    if isinstance(refusal, str) and refusal:
        return Reply("refused", one_line(refusal)[:_LONGEST_MESSAGE], usage, model)
    if ending == "length":
        return broken("it was cut off at the longest length (max_tokens)", content or "")
    if content is None:
        return broken("it holds no text", message)
    answer = _filled_in(question.form, content)
    if answer is None:
        return broken("it has not the form that was asked for", content)
    flaw = question.judge(answer)
    return (
        Reply(*flaw, usage, model, one_line(content)[:_LONGEST_QUOTE])
        if flaw
        else Reply("text", answer.model_dump_json(), usage, model)
    )


def _text_in(content: object) -> str | None:
    """A message's text; reasoning models may send parts, some of which are thoughts."""
    if isinstance(content, list):
        texts = [part["text"] for part in content if isinstance(part, dict) and part.get("type") == "text"]
        return "".join(text for text in texts if isinstance(text, str)) or None
    return content if isinstance(content, str) and content.strip() else None


def _filled_in(form: type[Form], content: str) -> Form | None:
    """The form that a text fills in: as it is, else behind thoughts, in a fence, or between its outermost braces."""
    spoken = _THOUGHTS.sub("", content)
    fenced = _FENCED.sub(r"\1", spoken)
    braced = spoken[spoken.find("{") : spoken.rfind("}") + 1]
    for text in dict.fromkeys((content, spoken, fenced, braced)):
        try:
            return form.model_validate_json(text)
        except ValidationError:
            continue
    return None


def key_of(model: LanguageModel) -> str:
    """The server's key, from the environment; raises ConfigError if it is not there."""
    key = os.environ.get(model.api_key_env, "").strip()
    if not key:
        raise ConfigError(
            f"the environment variable {model.api_key_env} is not set; put the server's key into it (any word for a "
            "server that needs none), or name another variable with api_key_env="
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(f"what {model.api_key_env} holds is not a key: it has spaces or special characters")
    return key


def json_object(text: str) -> dict[str, Any] | None:
    """The object that a JSON text holds, or None."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def usage_of(body: dict[str, Any]) -> Usage | None:
    """The tokens that a chat completion was charged for, if it says so in a way that can be."""
    usage = body.get("usage")
    if not isinstance(usage, dict):
        return None
    taken, given = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not (isinstance(taken, int) and isinstance(given, int) and 0 <= taken < 2**40 and 0 <= given < 2**40):
        return None
    return Usage(taken, given)


def _model_of(body: dict[str, Any], asked: str) -> str:
    name = body.get("model")
    return one_line(name)[:100] if isinstance(name, str) and name.strip() else asked


def _seconds(error: APIStatusError) -> float | None:
    try:
        seconds = float(error.response.headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if 0 < seconds < float("inf") else None
