"""Settings of a language model behind an OpenAI-compatible server: which, where, how fast, and for how much."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from urllib.parse import urlsplit

from ipai.files import cache_folder
from ipai.schema import above, at_least, between, one_of

MODES = ("live", "batch")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")


@dataclass
class Prices:
    """Dollars per million tokens; `batch` is the share of them that the Batch API charges."""

    input: float = field(default=2.5, metadata=at_least(0))
    output: float = field(default=10.0, metadata=at_least(0))
    batch: float = field(default=0.5, metadata=at_least(0))


@dataclass
class ExpectedTokens:
    """Tokens of one request, believed until the cache knows the mean of requests like it."""

    input: float = field(default=350, metadata=at_least(0))
    output: float = field(default=60, metadata=at_least(0))


@dataclass(kw_only=True)
class LanguageModel:
    """Whom to ask, and the limits of it.

    Attributes:
        model: Its name at the server.
        temperature: How freely it answers, or None for the server's default.
        base_url: The server, or None for the environment's `OPENAI_BASE_URL`, else OpenAI.
        api_key_env: The environment variable that holds the key; the key itself is never a setting.
        mode: live asks one by one; batch hands files of requests in and collects them later.
        concurrency: Live requests under way at once.
        timeout: Seconds that one request may take.
        patience: Seconds without a single answer after which asking stops.
        max_tokens: Longest answer.
        price: What it costs.
        expected: What a request is expected to need.
        max_dollars: All that this output may cost, over every start; None for no limit.
        max_requests: All the answers that this output may take, over every start; None for no limit.
        cache: Database of the answers, or None for one in the folder of derived files.
    """

    model: str
    temperature: float | None = field(default=None, metadata=between(0, 2))
    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    mode: str = field(default="live", metadata=one_of(*MODES))
    concurrency: int = field(default=8, metadata=above(0))
    timeout: float = field(default=120, metadata=above(0))
    patience: float = field(default=600, metadata=above(0))
    max_tokens: int = field(default=300, metadata=above(0))
    price: Prices = field(default_factory=Prices)
    expected: ExpectedTokens = field(default_factory=ExpectedTokens)
    max_dollars: float | None = field(default=None, metadata=at_least(0))
    max_requests: int | None = field(default=None, metadata=at_least(0))
    cache: str | None = None


# The others change when, where and for how much an answer comes, never which question is asked.
_DECIDING = ("model", "temperature")
CHANGEABLE = tuple(item.name for item in fields(LanguageModel) if item.name not in _DECIDING)


def cache_path(model: LanguageModel) -> Path:
    """Where the answers are kept."""
    return Path(model.cache).expanduser() if model.cache else cache_folder() / "answers.sqlite"


def problems_of(model: LanguageModel, prefix: str) -> Iterator[str]:
    """Values that cannot work, one message each, with the keys under `prefix`."""
    if not model.model.strip():
        yield f"{prefix}.model must name a model"
    if model.base_url is not None and not _is_server(model.base_url):
        yield f"{prefix}.base_url must be such as http://host:8000/v1, without a user name or password"
    if not _VARIABLE.fullmatch(model.api_key_env):
        # Not shown: who mistakes the key's meaning writes the secret itself here.
        yield f"{prefix}.api_key_env must be the name of an environment variable (A-Z, 0-9, _), not the key itself"


def _is_server(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return False
