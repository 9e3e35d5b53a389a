"""What a run is trained on, in words: `data_sets.json` in its folder, and a line of the log for each set."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ipai.errors import CheckpointError
from ipai.files import write_json
from ipai.records import RecordError, read_record

NAME = "data_sets.json"
_STEP = 64  # px; every base draws at multiples of it


@dataclass(frozen=True)
class SetFacts:
    """One set of a run.

    Attributes:
        task: Whose instructions its samples get.
        root: Where it lies.
        samples: How many are trained on, after the filter.
        shards: How many there are.
        share: How much of the run's samples is drawn from it.
        side: Shorter side of its first target, px; 0 where nobody looked.
        licences: Name -> how many samples of the shards, before the filter; empty where no sidecar says.
    """

    task: str
    root: str
    samples: int
    shards: int
    share: float
    licences: dict[str, int]
    side: int = 0


def lines(facts: Mapping[str, SetFacts], resolution: int) -> Iterator[str]:
    """What the log says of them, for a base that draws pictures of `resolution` px."""
    for name, one in facts.items():
        licences = ", ".join(f"{licence} {count:,}" for licence, count in one.licences.items()) or "not stated"
        yield f"{name}: {one.samples:,} samples in {one.shards} shards, drawn {one.share:.1%}; licences: {licences}"
        if 0 < one.side < resolution:
            yield (
                f"{name}: its targets of {one.side} px are enlarged to base.resolution={resolution}; build the set "
                f"with image_size={resolution}"
                + (f", or set base.resolution={one.side}" if one.side % _STEP == 0 else "")
            )


def write_data_sets(folder: Path, facts: Mapping[str, SetFacts]) -> None:
    """Write `data_sets.json` into the run's folder."""
    write_json(folder / NAME, {name: asdict(one) for name, one in facts.items()})


def read_data_sets(folder: Path) -> dict[str, SetFacts]:
    """What was written; empty for runs of earlier versions. Raises CheckpointError if it is damaged."""
    path = folder / NAME
    if not path.is_file():
        return {}
    try:
        return read_record(path, dict[str, SetFacts])
    except (OSError, RecordError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); remove it to go on without what it tells") from error
