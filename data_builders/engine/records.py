"""What builders and the engine hand each other: records (to be built), samples (built) and drops (why not)."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from data_builders.engine.keyed_hash import canonical


@dataclass(frozen=True, slots=True, init=False)
class Record:
    """A sample that is planned. It must hold all that `Builder.make` needs, so that any process can build it.

    Its fields are kept as JSON: a plan may hold millions of records, and dictionaries take more room.

    Attributes:
        key: Name of the sample, of the letters `[a-z0-9_-]`, unique in the task.
        group: What must not be in both splits: the photograph, the prompt, the style image or the identity.
        fields: JSON values that the builder understands.
    """

    key: str
    group: str
    _fields: bytes

    def __init__(self, key: str, group: str, fields: Mapping[str, Any]) -> None:
        for name, value in (("key", key), ("group", group), ("_fields", canonical(fields).encode())):
            object.__setattr__(self, name, value)

    @classmethod
    def of_text(cls, key: bytes, group: bytes, fields: bytes) -> "Record":
        """From the parts of `line`."""
        record = cls.__new__(cls)
        for name, value in (("key", json.loads(key)), ("group", json.loads(group)), ("_fields", fields)):
            object.__setattr__(record, name, value)
        return record

    def line(self) -> bytes:
        """Key, group and fields as canonical JSON, which holds no tab, with tabs between them."""
        return b"\t".join((canonical(self.key).encode(), canonical(self.group).encode(), self._fields))

    @property
    def fields(self) -> dict[str, Any]:
        """A copy of them."""
        found: dict[str, Any] = json.loads(self._fields)
        return found

    def field(self, name: str) -> Any:
        """One of them. A plain text that is the first by name is found without reading the others."""
        start = f'{{"{name}":"'.encode()
        if self._fields.startswith(start):
            value = self._fields[len(start) : self._fields.index(b'"', len(start))]
            if b"\\" not in value:
                return value.decode()
        return self.fields[name]

    def text(self) -> str:
        """All of it as canonical JSON."""
        return f'{{"fields":{self._fields.decode()},"group":{canonical(self.group)},"key":{canonical(self.key)}}}'


@dataclass(frozen=True)
class Locality:
    """Which records are cheap to build together: those that agree in the field `field`, as they lie in one archive.

    A shard gets whole localities, `most` of them at most, so that few shards have to read one archive. With `apart` the
    held-out records come from as few localities as hold them, so that hardly one is read for both splits.
    """

    field: str
    most: int
    apart: bool = False


@dataclass(frozen=True)
class Selection:
    """What a builder found in its source.

    Attributes:
        records: What passed every filter; of a huge source only what `engine.plan.drawn` keeps of it.
        considered: How many candidates there were; equals the records, those not drawn and the drops.
        drops: How many candidates each filter dropped, in the order in which the filters run.
        facts: Further counts for the plan and the card, by what they count.
        not_drawn: How many passed every filter and are not in `records`, because `limit` does not reach them.
        locality: How records are to be gathered in shards, or None where their order costs nothing.
        more: The setting that gives more records, such as `pairs.max_per_identity=16`, or None.
    """

    records: list[Record]
    considered: int
    drops: dict[str, int]
    facts: dict[str, int] = field(default_factory=dict)
    not_drawn: int = 0
    locality: Locality | None = None
    more: str | None = None

    @property
    def passed(self) -> int:
        """How many candidates passed every filter."""
        return len(self.records) + self.not_drawn


@dataclass(frozen=True)
class Source:
    """Where a sample comes from: enough to find it again, to credit it and to know its terms.

    `licence` is `{"name", "url"}`, or None where the source states none.
    """

    dataset: str
    id: str
    licence: dict[str, str] | None
    attribution: str | None


@dataclass(frozen=True)
class Sample:
    """A built sample (design section 4).

    Attributes:
        target: The target picture, encoded as JPEG.
        condition: The condition picture, encoded as JPEG; None where the target is the condition (copy).
        prompt: Caption of the target.
        cond_prompt: Caption of the condition.
        slot: The object's name that fills an instruction's placeholder, or None.
        generation: Model ids, revisions, seed and settings of a generated picture, or None.
        scores: Measures by which a reader may filter.
    """

    target: bytes
    condition: bytes | None
    prompt: str
    cond_prompt: str
    slot: str | None
    source: Source
    generation: dict[str, Any] | None
    scores: dict[str, float]


class Drop(Exception):
    """A planned sample cannot be built, for a foreseen reason; it is counted and its shard holds one sample less."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Builder(Protocol):
    """One source. It must pickle, and hold no open file and nothing large: it travels to every worker process.

    Attributes:
        name: Name of the builder, as it is written to records.
        version: Raised by hand whenever the same input and settings give other bytes.
    """

    name: str
    version: int

    def select(self) -> Selection:
        """Read the source's annotations and apply every filter that needs nothing else.

        Raises:
            DataError: The source is missing or damaged; the message says how to obtain or mend it.
        """
        ...

    def make(self, record: Record) -> Sample:
        """Build one sample: a pure function of the record, the settings and the source's files.

        Raises:
            Drop: The sample is to be left out, for a reason that is counted.
            DataError: Reading fails in a way that says nothing of this sample (a lost disk, a refused permission).
        """
        ...

    def card(self) -> str:
        """What the data card must say of the source, its licences and filters: sections of Markdown."""
        ...


@runtime_checkable
class FetchingBuilder(Builder, Protocol):
    """A builder that needs weights."""

    def fetch(self) -> None:
        """Download what is not there yet, once rather than in every worker; raises WeightsError."""
        ...


@runtime_checkable
class BatchBuilder(Builder, Protocol):
    """A builder whose work is cheaper for many samples at once, as generating pictures is."""

    def make_many(self, records: Sequence[Record]) -> Iterator[Sample | Drop]:
        """Build the samples of one shard: one result for each record, in their order, the same as `make`'s.

        Raises:
            DataError: As in `make`.
        """
        ...
