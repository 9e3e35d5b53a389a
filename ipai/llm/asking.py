"""Asking many questions: several at once, each at most until it is settled, within the budget.

Whatever ends it (the budget, a server that stays down, Ctrl-C, an error), the requests under way are waited for and
their answers kept, because they are paid for.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ipai.errors import DataError, IpaiError
from ipai.llm.batch_log import BatchLog
from ipai.llm.budget import BudgetLeft
from ipai.llm.cache import AnswerCache, Payment, fault_of, today
from ipai.llm.claims import Claims
from ipai.llm.client import Client, Unavailable
from ipai.llm.config import LanguageModel, cache_path
from ipai.llm.question import Answer, Question, Reply

# A bad answer is asked for once more; then it is settled that there is none. What is no answer at all settles nothing:
# the next start asks again.
ATTEMPTS = 2
# From this many questions on, asking stops when more than half came to nothing; at the end this share may have failed.
_ENOUGH = 10
_MAY_FAIL = 0.2
# Seconds: between looks at a question that another process asks, and the first and longest wait for a server.
_LOOK_AGAIN = 0.2
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0


@dataclass
class Tally:
    """The running sums of asking.

    Attributes:
        cached: Questions whose answer was known before.
        outcomes: What became of the questions that were asked now: text, refused, unusable, or failed (no answer at
            all came, and nothing is settled).
        faults: Why answers could not be used, first attempts included.
        requests: Answers that this output has taken, over all starts.
        dollars: What they cost.
    """

    cached: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    dollars: float = 0.0

    @property
    def settled(self) -> int:
        """Questions that need not be asked any more."""
        return self.cached + self.outcomes.total() - self.outcomes["failed"]

    @property
    def useless(self) -> bool:
        """Whether so many questions came to nothing that asking on would waste money."""
        bad, asked = self.outcomes["failed"] + self.outcomes["unusable"], self.outcomes.total()
        return asked >= _ENOUGH and 2 * bad > asked

    @property
    def incomplete(self) -> bool:
        """Whether too many questions failed for a data set to be made of the others."""
        return self.outcomes["failed"] > max(1, _MAY_FAIL * self.outcomes.total())

    @property
    def cautions(self) -> str:
        """What did not come well: `2 refused, 1 unusable`, or `none refused`."""
        bad = [f"{count:,} {outcome}" for outcome, count in sorted(self.outcomes.items()) if outcome != "text"]
        return ", ".join(bad) or "none refused"

    def text(self) -> str:
        """One line: what is known now, why answers were asked for again, and what this output has cost."""
        again = ", ".join(f"{fault} {count:,}" for fault, count in self.faults.most_common())
        return (
            f"{self.outcomes.total():,} asked ({self.cautions}), {self.cached:,} known before, ${self.dollars:.4f} in "
            f"{self.requests:,} answers over all starts" + (f"; bad answers: {again}" if again else "")
        )


Report = Callable[[Tally], None]


def ask_all(
    questions: Iterator[Question], total: int, model: LanguageModel, scope: str, tally: Tally, report: Report
) -> None:
    """Settle every question: look it up, else ask it.

    Args:
        questions: Taken one by one when there is room, in another thread than this.
        total: How many there are at most, with those that `tally` counts already; for messages.
        model: Whom to ask, and the limits.
        scope: The output that pays; its budget counts over all starts.
        tally: Sums that are gone on with.
        report: Called whenever a question is settled.

    Raises:
        ConfigError: The key is missing.
        DataError: The budget is used up, the server refuses or stays down, or the cache cannot be written. What was
            answered is kept, and the same call goes on from there.
    """
    path = cache_path(model)
    cache = AnswerCache(path)
    try:
        with Claims(claims_path(path)) as claims:
            if BatchLog(cache, scope).open_batches():
                raise DataError(f"questions of {scope} are in batches: collect them first, with mode=batch")
            budget_left = BudgetLeft(model, cache.spent(scope), cache.observed)
            tally.requests, tally.dollars = budget_left.requests, budget_left.dollars
            asyncio.run(_Asking(questions, total, model, scope, tally, report, cache, claims, budget_left).run())
    finally:
        cache.close()


def claims_path(cache: Path) -> Path:
    """The folder of locks beside a cache."""
    return cache.with_name(cache.name + ".locks")


class _Ended(IpaiError):
    """Asking ends before every question is settled, though nothing is wrong with what was asked."""


@dataclass
class _Asking:
    questions: Iterator[Question]
    total: int
    model: LanguageModel
    scope: str
    tally: Tally
    report: Report
    cache: AnswerCache
    claims: Claims
    budget_left: BudgetLeft

    def __post_init__(self) -> None:
        self.pulling = threading.Lock()
        self.stopped = asyncio.Event()
        self.error: IpaiError | None = None
        self.failed: set[str] = set()  # the keys of questions that nothing usable came to in this start
        self.unusable: list[str] = []
        self.came = ""  # what came last that could not be used
        self.away_since: float | None = None  # when the server first failed since its last answer
        self.wait_until = 0.0

    async def run(self) -> None:
        async with Client(self.model) as client:
            workers = [asyncio.create_task(self._work(client)) for _ in range(self.model.concurrency)]
            try:
                await asyncio.wait(workers)
            except asyncio.CancelledError:  # Ctrl-C; a second one ends it at once
                self.stopped.set()
                await asyncio.wait(workers)
                raise
            for worker in workers:
                worker.result()
        if isinstance(self.error, _Ended):  # only now is it known what was answered
            raise DataError(f"{self.error} {self._left()}")
        if self.error is not None:
            raise self.error
        if self.tally.incomplete:
            raise DataError(useless_text(self.tally, self.model, self.came))

    async def _work(self, client: Client) -> None:
        try:
            while not self.stopped.is_set():
                question = await asyncio.to_thread(self._pull)
                if question is None:
                    return
                await self._settle(question, client)
        except IpaiError as error:
            self.error = self.error or error
            self.stopped.set()
        except BaseException:
            self.stopped.set()
            raise

    def _pull(self) -> Question | None:
        with self.pulling:
            return None if self.stopped.is_set() else next(self.questions, None)

    async def _settle(self, question: Question, client: Client) -> None:
        """Look the answer up, or ask; a question that another process is asking is waited for."""
        while not self._known(question) and not self.stopped.is_set():
            if self.claims.take(question.key):
                try:
                    if not self._known(question):  # it may have been answered just before the claim
                        await self._ask(question, client)
                        return
                finally:
                    self.claims.give_back(question.key)
            else:
                await self._pause(_LOOK_AGAIN)
        if not self.stopped.is_set():
            self.tally.cached += 1
            self.report(self.tally)

    def _known(self, question: Question) -> bool:
        return question.key in self.failed or self.cache.answer(question.key) is not None

    async def _ask(self, question: Question, client: Client) -> None:
        faults = self.cache.faults(question.key)
        last = faults[-1] if faults else None
        broken = 0
        while not self.stopped.is_set():
            held = self._held(question)
            reply = await self._reply(question, client, last, held)
            if reply is None:
                return
            attempts = len(faults) + 1
            answer = settled_by(reply, attempts)
            self._keep(question, reply, answer, held)
            last, self.came = reply.content, reply.came or self.came
            broken += reply.outcome == "broken"
            faults += [reply.content] if reply.outcome == "fault" else []
            if answer is not None or broken == ATTEMPTS:
                self._end(question, "failed" if answer is None else answer.outcome)
                return

    def _end(self, question: Question, outcome: str) -> None:
        """Count what became of a question, and stop if asking on would waste money."""
        self.tally.outcomes[outcome] += 1
        if outcome == "failed":
            self.failed.add(question.key)
        elif outcome == "unusable":
            self.unusable.append(question.key)
        self.report(self.tally)
        if self.tally.useless:
            self.cache.forget(self.unusable)  # so many are no accident: once the cause is mended they are asked again
            raise DataError(useless_text(self.tally, self.model, self.came))

    def _keep(self, question: Question, reply: Reply, answer: Answer | None, held: float) -> None:
        fault = fault_of(reply)
        self.budget_left.release(held)
        paid = self.budget_left.spend(question.kind, reply.usage)
        self.cache.keep(Payment(self.scope, question.key, question.kind, reply.usage, paid, fault), answer)
        self.tally.requests, self.tally.dollars = self.budget_left.requests, self.budget_left.dollars
        if fault is not None:
            self.tally.faults[reply.content] += 1

    async def _reply(self, question: Question, client: Client, fault: str | None, held: float) -> Reply | None:
        """The reply, however long the server is away within the patience; None if asking stopped meanwhile."""
        wait = _FIRST_WAIT
        try:
            while True:
                await self._pause(self.wait_until - time.monotonic())
                if self.stopped.is_set():
                    break
                try:
                    reply = await client.ask(question, fault)
                except Unavailable as error:
                    self._postpone(error, wait)
                    wait = min(2 * wait, _LONGEST_WAIT)
                else:
                    self.away_since = None
                    return reply
        except BaseException:
            self.budget_left.release(held)
            raise
        self.budget_left.release(held)
        return None

    def _postpone(self, error: Unavailable, wait: float) -> None:
        """Leave the server alone for a while, all workers together; raises _Ended when the patience is over."""
        now = time.monotonic()
        self.away_since = now if self.away_since is None else self.away_since
        self.wait_until = max(self.wait_until, now + (error.seconds or wait))
        if self.wait_until - self.away_since > self.model.patience:
            raise _Ended(
                f"the language model does not answer ({error}), and waiting longer would exceed "
                f"patience={self.model.patience:g} s: repeat the command later."
            )

    def _held(self, question: Question) -> float:
        held = self.budget_left.hold(question.kind)
        if held is None:
            raise _Ended(f"another request might exceed the budget of {self.scope}: raise it to go on.")
        return held

    def _left(self) -> str:
        model, tally = self.model, self.tally
        return (
            f"Spent: ${tally.dollars:.4f} of max_dollars={model.max_dollars}, {tally.requests:,} answers of "
            f"max_requests={model.max_requests}. The {tally.settled:,} questions that are settled are kept in "
            f"{self.cache.path}; at most {self.total - tally.settled:,} are left for the same command to go on with"
        )

    async def _pause(self, seconds: float) -> None:
        """Sleep, unless asking stops."""
        if seconds > 0:
            try:
                await asyncio.wait_for(self.stopped.wait(), seconds)
            except TimeoutError:
                return


def useless_text(tally: Tally, model: LanguageModel, came: str) -> str:
    """That most of what a model says cannot be used, what it says, and what may mend it."""
    bad, asked = tally.outcomes["failed"] + tally.outcomes["unusable"], tally.outcomes.total()
    faults = ", ".join(f"{fault} {count:,}" for fault, count in tally.faults.most_common(3))
    quote = f"; the last one began with {came!r}" if came else ""
    return (
        f"{bad:,} of {asked:,} questions to {model.model} came to nothing that can be used ({faults}{quote}). Check "
        f"model, base_url and temperature, raise max_tokens={model.max_tokens} for models that think before they "
        "answer, or write another prompt; good answers are kept, and the same command asks the others again"
    )


def settled_by(reply: Reply, attempts: int) -> Answer | None:
    """What is settled by a reply to the attempt of this number; None if the question is to be asked again."""
    if reply.outcome == "broken":
        return None
    if reply.outcome != "fault":
        return Answer(reply.outcome, reply.content, reply.model, today())
    return Answer("unusable", reply.content, reply.model, today()) if attempts >= ATTEMPTS else None
