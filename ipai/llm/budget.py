"""How much may be spent, and how much a request costs at most and on average."""

from collections.abc import Callable

from ipai.llm.cache import Observed, Spent
from ipai.llm.config import LanguageModel
from ipai.llm.question import Usage

_MILLION = 1_000_000


def dollars_of(input_tokens: float, output_tokens: float, model: LanguageModel) -> float:
    """The price of so many tokens, in dollars."""
    full = (input_tokens * model.price.input + output_tokens * model.price.output) / _MILLION
    return full * (model.price.batch if model.mode == "batch" else 1.0)


def likely_cost(model: LanguageModel, observed: Observed | None) -> float:
    """Dollars that a request costs on average: as measured, else as expected."""
    if observed is None:
        return dollars_of(model.expected.input, model.expected.output, model)
    return dollars_of(observed.input, observed.output, model)


class BudgetLeft:
    """What is left of `max_dollars` and `max_requests`. A request is held back whose worst case might not fit."""

    def __init__(self, model: LanguageModel, spent: Spent, observed: Callable[[str], Observed | None]) -> None:
        """Begin with what was spent before; `observed` tells what requests of a kind took."""
        self._model = model
        self.requests, self.dollars = spent.requests, spent.dollars
        self._under_way = 0
        self._held = 0.0
        self._observed = observed
        self._most_input: dict[str, float] = {}

    def hold(self, kind: str) -> float | None:
        """Set the worst case of one request aside and return it, in dollars; None if the budget does not allow it."""
        worst = self._worst(kind)
        limit, count = self._model.max_dollars, self._model.max_requests
        if limit is not None and self.dollars + self._held + worst > limit:
            return None
        if count is not None and self.requests + self._under_way >= count:
            return None
        self._under_way += 1
        self._held += worst
        return worst

    def release(self, held: float) -> None:
        """Nothing was answered, so nothing is paid."""
        self._under_way -= 1
        self._held -= held

    def spend(self, kind: str, usage: Usage | None) -> float:
        """Pay for an answer and return its price, in dollars; the worst case where nobody says what it took."""
        paid = self._worst(kind) if usage is None else dollars_of(usage.input, usage.output, self._model)
        self.requests += 1
        self.dollars += paid
        self._most_input[kind] = max(self._most_of(kind), usage.input if usage else 0)
        return paid

    def _worst(self, kind: str) -> float:
        return dollars_of(self._most_of(kind), self._model.max_tokens, self._model)

    def _most_of(self, kind: str) -> float:
        """The most tokens that a request of this kind is thought to take in."""
        if kind not in self._most_input:
            observed = self._observed(kind)
            self._most_input[kind] = max(self._model.expected.input, observed.most_input if observed else 0)
        return self._most_input[kind]
