"""What the captions of a plan would cost; nothing is sent."""

from dataclasses import dataclass

from data_builders.captions.captioner import ModelCaptioner
from data_builders.captions.stage import caption_source
from data_builders.engine.config import BuildConfig
from data_builders.engine.folder import folder_of
from data_builders.engine.plan import Plan
from data_builders.engine.records import Builder, Drop, Record
from ipai.llm.budget import likely_cost
from ipai.llm.cache import AnswerCache, Observed, Spent
from ipai.llm.config import cache_path

# Pictures that are looked at to learn which share the cache knows; all would take minutes.
_SAMPLE = 400


@dataclass(frozen=True)
class Bill:
    """The bill of a plan.

    Attributes:
        planned: Captions of the plan, each picture as often as it occurs.
        looked_at: How many of them were looked up, evenly spread.
        unknown: How many different pictures among those the cache does not know.
        each: Dollars a caption.
        measured: `each` is the mean of earlier requests of this kind rather than the settings' expectation.
        spent: What this output has cost already.
    """

    planned: int
    looked_at: int
    unknown: int
    each: float
    measured: bool
    spent: Spent

    @property
    def to_ask(self) -> int:
        """Captions that would be asked for: exact where all were looked at, else too many where pictures recur."""
        return round(self.planned * self.unknown / self.looked_at) if self.looked_at else 0

    @property
    def dollars(self) -> float:
        """What they would cost."""
        return self.to_ask * self.each


def bill_of(builder: Builder, captioner: ModelCaptioner, config: BuildConfig, plan: Plan) -> Bill:
    """Look a sample of the plan's pictures up in the cache, and count.

    Raises:
        ConfigError: The builder does not take captions from a model.
        DataError: The source or the cache cannot be read.
    """
    records, source = _sample(plan), caption_source(builder)
    pictures = source.pictures_to_caption(records)
    keys = {captioner.question(picture).key for picture in pictures if not isinstance(picture, Drop)}
    observed: Observed | None = None
    spent, known = Spent(0, 0.0), 0
    path = cache_path(captioner.config)
    if path.exists():
        cache = AnswerCache(path)
        known = sum(cache.answer(key) is not None for key in keys)
        observed = cache.observed(captioner.kind)
        spent = cache.spent(str(folder_of(config).resolve()))
        cache.close()
    planned = (plan.count("train") + plan.count("val")) * source.captions_each
    each = likely_cost(captioner.config, observed)
    looked_at = len(records) * source.captions_each
    return Bill(planned, looked_at, len(keys) - known, each, observed is not None, spent)


def bill_text(bill: Bill, captioner: ModelCaptioner) -> str:
    """The bill in three lines."""
    model = captioner.config
    about = "" if bill.looked_at == bill.planned else f"about, from {bill.looked_at:,} pictures evenly spread: "
    source = "measured" if bill.measured else "expected, check the prices"
    limits = f"max_dollars={model.max_dollars}, max_requests={model.max_requests}"
    return (
        f"captions to ask {model.model} for: {about}{bill.to_ask:,} of {bill.planned:,}\n"
        f"likely price: ${bill.dollars:,.2f} at ${bill.each:.5f} each ({source})\n"
        f"spent for this output so far: ${bill.spent.dollars:,.2f} in {bill.spent.requests:,} answers; limits: {limits}"
    )


def _sample(plan: Plan) -> list[Record]:
    """Planned records, evenly spread: a build that was begun has asked about the first ones."""
    records = [record for shard in plan.shards for record in shard.records]
    return records[:: -(-len(records) // _SAMPLE)]
