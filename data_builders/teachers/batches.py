"""From records to samples through a teacher, batch by batch, in the order of the records."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image

from data_builders.engine.keyed_hash import rank
from data_builders.engine.records import Drop, Record, Sample
from data_builders.teachers.config import Teacher
from data_builders.teachers.loaded import generator_of
from data_builders.teachers.request import Request

if TYPE_CHECKING:
    from data_builders.teachers.target_generator import TargetGenerator

# What torch's generators take.
_SEEDS = 2**63


@dataclass(frozen=True)
class Draft:
    """A sample that lacks its pictures: `finish(pictures, provenance of the teacher)` makes it whole, or raises Drop.

    Attributes:
        requests: One for each picture, at most a batch.
        finish: Gets them in that order.
    """

    requests: tuple[Request, ...]
    finish: Callable[[Sequence[Image.Image], dict[str, Any]], Sample]


def make_in_batches(
    records: Sequence[Record], prepare: Callable[[Record], Draft], teacher: Teacher
) -> Iterator[Sample | Drop]:
    """One result for each record, in their order; `prepare` may raise Drop.

    Raises:
        WeightsError, ConfigError: The teacher cannot be loaded.
        DataError: The memory does not suffice, or what `prepare` raises.
    """
    waiting: list[Draft | Drop] = []
    pictures = 0
    for record in records:
        try:
            draft: Draft | Drop = prepare(record)
        except Drop as drop:
            draft = drop
        wanted = len(draft.requests) if isinstance(draft, Draft) else 0
        if pictures + wanted > teacher.batch_size:
            yield from _results(waiting, generator_of(teacher))
            waiting, pictures = [], 0
        waiting.append(draft)
        pictures += wanted
        if pictures == teacher.batch_size:
            yield from _results(waiting, generator_of(teacher))
            waiting, pictures = [], 0
    if pictures:
        yield from _results(waiting, generator_of(teacher))
    else:
        yield from (drop for drop in waiting if isinstance(drop, Drop))


def make_alone(record: Record, prepare: Callable[[Record], Draft], teacher: Teacher) -> Sample:
    """The sample of one record, the same as in any batch.

    Raises:
        Drop: It cannot be built.
        WeightsError, ConfigError, DataError: As in `make_in_batches`.
    """
    (result,) = make_in_batches([record], prepare, teacher)
    if isinstance(result, Drop):
        raise result
    return result


def seed_of(seed: int, key: str) -> int:
    """The seed of the picture of the record `key`."""
    return int.from_bytes(rank(seed, "generation", key)[:8]) % _SEEDS


def _results(waiting: Sequence[Draft | Drop], generator: "TargetGenerator") -> Iterator[Sample | Drop]:
    drafts = [item for item in waiting if isinstance(item, Draft)]
    pictures = iter(generator.generate([request for draft in drafts for request in draft.requests]))
    for item in waiting:
        if isinstance(item, Drop):
            yield item
            continue
        drawn = [next(pictures) for _ in item.requests]
        refused = next((picture for picture in drawn if isinstance(picture, Drop)), None)
        try:
            whole = [picture for picture in drawn if not isinstance(picture, Drop)]
            yield refused or item.finish(whole, generator.provenance)
        except Drop as drop:
            yield drop
