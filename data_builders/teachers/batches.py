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
    """A sample that lacks its picture: `finish(picture, provenance of the teacher)` makes it whole, or raises Drop."""

    request: Request
    finish: Callable[[Image.Image, dict[str, Any]], Sample]


def make_in_batches(
    records: Sequence[Record], prepare: Callable[[Record], Draft], teacher: Teacher
) -> Iterator[Sample | Drop]:
    """One result for each record, in their order; `prepare` may raise Drop.

    Raises:
        WeightsError, ConfigError: The teacher cannot be loaded.
        DataError: The memory does not suffice, or what `prepare` raises.
    """
    waiting: list[Draft | Drop] = []
    drafts = 0
    for record in records:
        try:
            waiting.append(prepare(record))
            drafts += 1
        except Drop as drop:
            waiting.append(drop)
        if drafts == teacher.batch_size:
            yield from _results(waiting, generator_of(teacher))
            waiting, drafts = [], 0
    if drafts:
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
    pictures = iter(generator.generate([draft.request for draft in drafts]))
    for item in waiting:
        if isinstance(item, Drop):
            yield item
            continue
        picture = next(pictures)
        try:
            yield picture if isinstance(picture, Drop) else item.finish(picture, generator.provenance)
        except Drop as drop:
            yield drop
