"""What is in batches, in the database of answers: it outlives any process, so that a later start can collect them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ipai.llm.cache import AnswerCache, Payment, Spent
from ipai.llm.question import Usage


@dataclass(frozen=True)
class OpenBatch:
    """A batch that is not collected; `id` is None if the process ended before the server told it."""

    token: str
    id: str | None


Price = Callable[[str, dict[str, Any]], tuple[Usage | None, float] | None]
"""Tokens and dollars of an answer's body, given the kind of the question; None where nothing was charged."""


class BatchLog:
    """The batches of one output."""

    def __init__(self, cache: AnswerCache, scope: str) -> None:
        self._cache = cache
        self._scope = scope

    def begin(self, token: str, kinds: dict[str, str], dollars: float) -> None:
        """Write down what is about to be handed in under a token (kinds by key), and its price at worst."""
        with self._cache.transaction():
            row = (token, self._scope, None, len(kinds), dollars)
            self._cache.change(
                "INSERT INTO batches (token, scope, id, requests, dollars) VALUES (?, ?, ?, ?, ?)", [row]
            )
            rows = [(key, token, kind) for key, kind in kinds.items()]
            self._cache.change("INSERT OR REPLACE INTO pending VALUES (?, ?, ?)", rows)

    def name(self, token: str, id: str) -> None:
        """Write down what the server calls a batch."""
        self._cache.change("UPDATE batches SET id = ? WHERE token = ?", [(id, token)])

    def forget(self, token: str) -> None:
        """A batch came to nothing; its questions may be asked again."""
        with self._cache.transaction():
            self._close(token)

    def collect(self, token: str, bodies: dict[str, dict[str, Any]], price: Price) -> None:
        """Keep what a batch brought, by the question's key, pay for it, and close it: all or nothing."""
        with self._cache.transaction():
            for key, kind in self._cache.rows("SELECT key, kind FROM pending WHERE token = ?", token):
                body = bodies.get(key)
                if body is None:
                    continue
                paid = price(kind, body)
                if paid is not None:
                    self._cache.pay(Payment(self._scope, key, kind, *paid))
                self._cache.change("INSERT OR REPLACE INTO arrived VALUES (?, ?)", [(key, json.dumps(body))])
            self._close(token)

    def _close(self, token: str) -> None:
        self._cache.change("DELETE FROM pending WHERE token = ?", [(token,)])
        self._cache.change("DELETE FROM batches WHERE token = ?", [(token,)])

    def open_batches(self) -> list[OpenBatch]:
        """The batches of this output that are not collected."""
        rows = self._cache.rows("SELECT token, id FROM batches WHERE scope = ? ORDER BY token", self._scope)
        return [OpenBatch(*row) for row in rows]

    def promised(self) -> Spent:
        """What those batches may cost at worst."""
        row = self._cache.row("SELECT TOTAL(requests), TOTAL(dollars) FROM batches WHERE scope = ?", self._scope)
        return Spent(int(row[0]), row[1]) if row else Spent(0, 0.0)

    def is_pending(self, key: str) -> bool:
        """Whether a question is in a batch, of any output."""
        return self._cache.row("SELECT 1 FROM pending WHERE key = ?", key) is not None

    def arrived(self, key: str) -> dict[str, Any] | None:
        """What a batch brought for a question and nobody has read yet."""
        row = self._cache.row("SELECT body FROM arrived WHERE key = ?", key)
        found: dict[str, Any] | None = json.loads(row[0]) if row else None
        return found

    def read(self, key: str) -> None:
        """It is read: its answer is written down, or it is to be asked again."""
        self._cache.change("DELETE FROM arrived WHERE key = ?", [(key,)])
