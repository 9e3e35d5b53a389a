"""Asking by the Batch API, for half the price: hand questions in, end, and collect the answers at a later start.

Each start collects what is done, reads it, and hands in what is still to be asked. A batch is written down before it is
handed in, under a token that travels with it, so that a start that was killed in between finds it at the server.
"""

import asyncio
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openai import APIError
from openai.types import Batch

from ipai.errors import DataError
from ipai.llm.asking import ATTEMPTS, Report, Tally, claims_path, settled_by, useless_text
from ipai.llm.batch_files import ENDPOINT, RequestFile, error_code, read_results
from ipai.llm.batch_log import BatchLog, OpenBatch
from ipai.llm.budget import BudgetLeft
from ipai.llm.cache import AnswerCache, Payment, Spent, fault_of
from ipai.llm.claims import Claims
from ipai.llm.client import REFUSALS, Client, Unavailable, read_reply, usage_of
from ipai.llm.config import LanguageModel, cache_path
from ipai.llm.question import Question, Reply, Usage
from ipai.words import one_line

_TOKEN = "ipai_token"  # the key of the metadata that holds a batch's token
_OVER = ("completed", "expired", "cancelled")
_EXPIRED = "batch_expired"
# Stands for all questions among the claims: one process at a time hands in.
_ALL = "all"


def ask_in_batches(
    questions: Iterator[Question], total: int, model: LanguageModel, scope: str, tally: Tally, report: Report
) -> None:
    """Settle what batches have brought, and hand in the rest; the arguments are those of `ask_all`.

    Raises:
        ConfigError: The key is missing.
        DataError: Questions are in batches now, and the same command collects them later; or the budget is used up,
            the server refuses or does not answer, or another process hands in batches. Nothing is lost.
    """
    path = cache_path(model)
    cache = AnswerCache(path)
    try:
        with Claims(claims_path(path)) as claims:
            if not claims.take(_ALL):
                raise DataError(f"another process hands in batches and keeps their answers in {path}; wait for it")
            log = BatchLog(cache, scope)
            budget_left = _budget_left(model, cache, cache.spent(scope), log.promised())
            asyncio.run(_Batches(questions, total, model, scope, tally, report, cache, log, budget_left).run())
    finally:
        cache.close()


@dataclass
class _Batches:
    questions: Iterator[Question]
    total: int
    model: LanguageModel
    scope: str
    tally: Tally
    report: Report
    cache: AnswerCache
    log: BatchLog
    budget_left: BudgetLeft
    waiting: int = 0
    held: float = 0.0
    beyond_budget: bool = False
    came: str = ""
    unusable: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    async def run(self) -> None:
        async with Client(self.model) as client:
            try:
                await self._collect(client)
                await self._go_through(client)
            except APIError as error:
                found = client.explained(error)
                if isinstance(found, Unavailable):
                    found = DataError(f"the language model does not answer ({found}). Repeat the command later")
                raise found from None
        self._refuse_unless_settled()

    async def _collect(self, client: Client) -> None:
        """Fetch what is done of every batch that was handed in."""
        batches = self.log.open_batches()
        if any(batch.id is None for batch in batches):
            await self._find_lost(batches, client)
        for batch in self.log.open_batches():
            found = await client.sdk.batches.retrieve(str(batch.id))
            if found.status == "failed":
                reasons = [error.message or "" for error in (found.errors.data if found.errors else None) or []]
                self.failures.append(client.without_key("; ".join(reasons[:3])) or "no reason given")
                self.log.forget(batch.token)
            elif found.status in _OVER:
                files = [name for name in (found.output_file_id, found.error_file_id) if name]
                texts = [(await client.sdk.files.content(name)).text for name in files]
                bodies = {key: body for text in texts for key, body in read_results(text, client.body_of).items()}
                self.log.collect(batch.token, bodies, self._price)
        spent, promised = self.cache.spent(self.scope), self.log.promised()
        self.tally.requests, self.tally.dollars = spent.requests, spent.dollars
        self.budget_left = _budget_left(self.model, self.cache, spent, promised)

    def _price(self, kind: str, body: dict[str, Any]) -> tuple[Usage | None, float] | None:
        """What an answer costs; a failed request costs nothing."""
        if error_code(body) is not None:
            return None
        usage = usage_of(body)
        return usage, self.budget_left.spend(kind, usage)

    async def _find_lost(self, batches: list[OpenBatch], client: Client) -> None:
        """Learn the ids of batches whose start ended before it was told; what the server does not know is forgotten."""
        at_server: dict[str, Batch] = {}
        async for batch in client.sdk.batches.list(limit=100):
            if batch.metadata and _TOKEN in batch.metadata:
                at_server[batch.metadata[_TOKEN]] = batch
        for open_batch in batches:
            if open_batch.id is None and open_batch.token in at_server:
                self.log.name(open_batch.token, at_server[open_batch.token].id)
            elif open_batch.id is None:
                self.log.forget(open_batch.token)

    async def _go_through(self, client: Client) -> None:
        """Settle what arrived, and hand in what is not asked yet, unless a batch has just failed."""
        with tempfile.TemporaryDirectory(prefix="ipai-batch-") as folder:
            file = self._new_file(folder)
            for question in self.questions:
                if self._is_settled(question):
                    continue
                if self.log.is_pending(question.key) or question.key in file.kinds or self.failures:
                    self.waiting += 1
                    continue
                held = self.budget_left.hold(question.kind)
                if held is None:
                    self.beyond_budget = True
                    continue
                if not self._added(question, file):
                    if self.tally.useless:
                        break
                    await self._hand_in(file, client)
                    file = self._new_file(folder)
                    self._added(question, file)
                self.held += held
            if self.tally.useless or self.tally.incomplete:
                self.cache.forget(self.unusable if self.tally.useless else [])
                raise DataError(useless_text(self.tally, self.model, self.came))
            if file.kinds:
                await self._hand_in(file, client)

    def _new_file(self, folder: str) -> RequestFile:
        self.held = 0.0
        return RequestFile(Path(folder) / f"{uuid.uuid4().hex}.jsonl")

    def _added(self, question: Question, file: RequestFile) -> bool:
        faults = self.cache.faults(question.key)
        return file.add(question, faults[-1] if faults else None, self.model)

    def _is_settled(self, question: Question) -> bool:
        """Whether the answer is known, once what arrived for it is read, or it has failed for this start."""
        body = self.log.arrived(question.key)
        if body is not None:
            with self.cache.transaction():
                self._read(question, body)
                self.log.read(question.key)
        elif self.cache.answer(question.key) is not None:
            self.tally.cached += 1
        answer = self.cache.answer(question.key)
        failed = answer is None and body is not None and self.cache.failures(question.key) >= ATTEMPTS
        if answer is None and not failed:
            return False
        if body is not None:
            outcome = "failed" if answer is None else answer.outcome
            self.tally.outcomes[outcome] += 1
            self.unusable += [question.key] if outcome == "unusable" else []
        self.report(self.tally)
        return True

    def _read(self, question: Question, body: dict[str, Any]) -> None:
        """Write down what an answer is worth. A request that expired has no answer, and no fault either."""
        code = error_code(body)
        if code == _EXPIRED or self.cache.answer(question.key) is not None:
            return
        attempt = len(self.cache.faults(question.key)) + 1
        if code is not None:
            outcome = "refused" if code in REFUSALS else "broken"
            reply = Reply(outcome, f"the request failed: {one_line(code)[:100]}", Usage(0, 0), self.model.model)
        else:
            reply = read_reply(body, question, self.model.model)
        fault = fault_of(reply)
        self.came = reply.came or self.came
        self.tally.faults.update([reply.content] if fault else [])
        if code is not None:  # it was free, so no payment is written down yet
            payment = Payment(self.scope, question.key, question.kind, reply.usage, 0.0, fault)
            self.cache.keep(payment, settled_by(reply, attempt))
        else:
            self.cache.judge(question.key, fault, settled_by(reply, attempt))

    async def _hand_in(self, file: RequestFile, client: Client) -> None:
        """Write the batch down, send its file, order it, and write down what the server calls it."""
        token = uuid.uuid4().hex
        self.log.begin(token, file.kinds, self.held)
        self.waiting += len(file.kinds)
        sent = await client.sdk.files.create(file=file.path, purpose="batch")
        # Not retried: an order that arrived though its answer did not would be paid twice. The next start finds it.
        batch = await client.sdk.with_options(max_retries=0).batches.create(
            input_file_id=sent.id, endpoint=ENDPOINT, completion_window="24h", metadata={_TOKEN: token}
        )
        self.log.name(token, batch.id)
        file.path.unlink()

    def _refuse_unless_settled(self) -> None:
        if self.failures:
            raise DataError(
                f"the server could not run a batch: {'; '.join(self.failures)}. Nothing is lost: mend that and repeat "
                "the command, which hands its questions in again"
            )
        if self.waiting:
            raise DataError(
                f"{self.waiting:,} of {self.total:,} questions are in batches at the server, which has a day for them. "
                f"Repeat the command later to collect them; their answers come to {self.cache.path}"
                + ("; what the budget did not allow is handed in with a higher one" if self.beyond_budget else "")
            )
        if self.beyond_budget:
            raise DataError(
                f"another request might exceed the budget of {self.scope}: ${self.tally.dollars:.4f} of max_dollars="
                f"{self.model.max_dollars} and {self.tally.requests:,} answers of max_requests="
                f"{self.model.max_requests} are used. Raise it and repeat the command to go on"
            )


def _budget_left(model: LanguageModel, cache: AnswerCache, spent: Spent, promised: Spent) -> BudgetLeft:
    """What is left of the budget, when batches under way cost their worst."""
    both = Spent(spent.requests + promised.requests, spent.dollars + promised.dollars)
    return BudgetLeft(model, both, cache.observed)
