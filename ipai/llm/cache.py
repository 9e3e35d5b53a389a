"""The database of answers and payments. An answer is on disk before anyone learns of it, so a kill loses none."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ipai.errors import DataError
from ipai.llm.question import Answer, Reply, Usage

_LAYOUT = 2  # counts up when the tables, or what stands in them, change
_BROKEN = "no answer: "  # begins the fault of a payment for what was no answer at all (see `Reply.outcome`)
_TABLES = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, outcome TEXT NOT NULL, content TEXT NOT NULL, model TEXT NOT NULL, date TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS payments (
    id INTEGER PRIMARY KEY, scope TEXT NOT NULL, key TEXT NOT NULL, kind TEXT NOT NULL, date TEXT NOT NULL,
    input INTEGER, output INTEGER, dollars REAL NOT NULL, fault TEXT
);
CREATE INDEX IF NOT EXISTS payments_of_scope ON payments (scope);
CREATE INDEX IF NOT EXISTS payments_of_key ON payments (key);
CREATE INDEX IF NOT EXISTS payments_of_kind ON payments (kind);
CREATE TABLE IF NOT EXISTS batches (
    token TEXT PRIMARY KEY, scope TEXT NOT NULL, id TEXT, requests INTEGER NOT NULL, dollars REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS pending (key TEXT PRIMARY KEY, token TEXT NOT NULL, kind TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS pending_of_token ON pending (token);
CREATE TABLE IF NOT EXISTS arrived (key TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
"""

# Layout 1 kept what settings and servers had caused as answers, and blotted keys of any length out of captions.
_CAUSED = """(
    'the server''s answer is not a JSON object', 'it holds no message', 'it was cut off at the longest length',
    'it holds no text', 'it has not the form that was asked for'
)"""
_MENDED = f"""
DELETE FROM answers WHERE outcome = 'unusable' AND (content IN {_CAUSED} OR content LIKE 'the request failed:%');
DELETE FROM answers WHERE outcome = 'text' AND content LIKE '%***%';
UPDATE payments SET fault = '{_BROKEN}' || fault WHERE fault IN {_CAUSED} OR fault LIKE 'the request failed:%';
"""


@dataclass(frozen=True)
class Spent:
    """What one output has cost so far."""

    requests: int
    dollars: float


@dataclass(frozen=True)
class Payment:
    """One request that was answered; `fault` says why its answer could not be used, or what came in place of one."""

    scope: str
    key: str
    kind: str
    usage: Usage | None
    dollars: float
    fault: str | None = None


def fault_of(reply: Reply) -> str | None:
    """What a payment says of a reply; what is no answer at all is told apart from an answer that breaks a rule."""
    return {"fault": reply.content, "broken": f"{_BROKEN}{reply.content}"}.get(reply.outcome)


@dataclass(frozen=True)
class Observed:
    """Mean tokens of earlier requests of a kind, and the most that one of them took in."""

    input: float
    output: float
    most_input: int


class AnswerCache:
    """Answers and payments in one SQLite file, for any number of processes of one machine."""

    def __init__(self, path: Path) -> None:
        """Open the database, and make it if there is none.

        Raises:
            DataError: It is damaged, of another layout, or its folder cannot be written.
        """
        self.path = path
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=60, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")  # an answer is paid for: it survives a power cut too
            self._prepare()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def answer(self, key: str) -> Answer | None:
        """The answer to the question of this key, if it is known."""
        row = self.row("SELECT outcome, content, model, date FROM answers WHERE key = ?", key)
        return Answer(*row) if row else None

    def faults(self, key: str) -> list[str]:
        """Why earlier answers to this question could not be used, in their order; not what was no answer at all."""
        rows = self.rows("SELECT fault FROM payments WHERE key = ? AND fault NOTNULL ORDER BY id", key)
        return [fault for (fault,) in rows if not fault.startswith(_BROKEN)]

    def failures(self, key: str) -> int:
        """How often something came that was no answer to this question."""
        row = self.row("SELECT COUNT(*) FROM payments WHERE key = ? AND fault LIKE ?", key, f"{_BROKEN}%")
        return int(row[0]) if row else 0

    def forget(self, keys: Sequence[str]) -> None:
        """Take answers back: their questions are asked again."""
        self.change("DELETE FROM answers WHERE key = ?", [(key,) for key in keys])

    def spent(self, scope: str) -> Spent:
        """What was paid for an output, over all its starts."""
        requests, dollars = self.row("SELECT COUNT(*), TOTAL(dollars) FROM payments WHERE scope = ?", scope) or (
            0,
            0.0,
        )
        return Spent(requests, dollars)

    def observed(self, kind: str) -> Observed | None:
        """What requests of this kind took, if there were any."""
        row = self.row("SELECT AVG(input), AVG(output), MAX(input) FROM payments WHERE kind = ? AND input > 0", kind)
        return Observed(*row) if row and row[0] is not None else None

    def keep(self, payment: Payment, answer: Answer | None) -> None:
        """Write down what was paid and, if the question is settled by it, the answer: both or neither."""
        with self.transaction():
            self.pay(payment)
            self._settle(payment.key, answer)

    def judge(self, key: str, fault: str | None, answer: Answer | None) -> None:
        """The same for an answer whose payment is written down already: only now is it known what it is worth."""
        with self.transaction():
            last = "SELECT MAX(id) FROM payments WHERE key = ?"
            self.change(f"UPDATE payments SET fault = ? WHERE id = ({last})", [(fault, key)])
            self._settle(key, answer)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside is written, or none of it; raises DataError if the disk refuses.

        A transaction inside another is part of it.
        """
        if self._db.in_transaction:
            yield
            return
        with self._explained():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if self._db.in_transaction:  # a full disk has ended it already
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def pay(self, payment: Payment) -> None:
        """Write down what was paid; part of a transaction."""
        used = (payment.usage.input, payment.usage.output) if payment.usage else (None, None)
        self._db.execute(
            "INSERT INTO payments (scope, key, kind, date, input, output, dollars, fault) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (payment.scope, payment.key, payment.kind, today(), *used, payment.dollars, payment.fault),
        )

    def _settle(self, key: str, answer: Answer | None) -> None:
        if answer is not None:
            row = (key, answer.outcome, answer.content, answer.model, answer.date)
            self.change("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?)", [row])

    def _prepare(self) -> None:
        layout = self.row("PRAGMA user_version")
        if layout == (_LAYOUT,):
            return
        if layout not in ((0,), (1,)):
            raise DataError(f"{self.path} was written by another version of this project; choose another cache")
        self._db.executescript(f"BEGIN IMMEDIATE; {_TABLES} {_MENDED} PRAGMA user_version = {_LAYOUT}; COMMIT;")

    def row(self, statement: str, *values: Any) -> tuple[Any, ...] | None:
        """The first row that a statement gives, or None."""
        with self._explained():
            row: tuple[Any, ...] | None = self._db.execute(statement, values).fetchone()
            return row

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows that a statement gives."""
        with self._explained():
            return self._db.execute(statement, values).fetchall()

    def change(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Run a statement that changes something, once for each row of values."""
        with self._explained():
            self._db.executemany(statement, rows)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.OperationalError, OSError) as error:
            raise DataError(
                f"cannot use the answers in {self.path}: {error}. What was written stays: free space there, make it "
                "writable, or choose another cache, then repeat the command"
            ) from error
        except sqlite3.DatabaseError as error:
            raise DataError(
                f"{self.path} is damaged ({error}). Move it away to start an empty one; `sqlite3 FILE .recover` may "
                "save the answers in it, which were paid for"
            ) from error


def today() -> str:
    """The day, UTC."""
    return datetime.now(UTC).date().isoformat()
