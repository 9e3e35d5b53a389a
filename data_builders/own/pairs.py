"""Which picture is the condition of which: as the list says, or as the task pairs pictures."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from data_builders.engine.keyed_hash import rank
from data_builders.own.rows import Row

GROUPED = ("style", "face")
"""Tasks whose condition is another picture of the same group."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A target, and what its condition is.

    Attributes:
        row: Of the target.
        condition: Its name; None where the condition is made of the target, or is it.
        cond_prompt: Its caption.
        licences: Of both pictures, None where none is named: one entry where they agree.
    """

    row: Row
    condition: str | None
    cond_prompt: str | None
    licences: tuple[str | None, ...]


def pairs_of(task: str, rows: Sequence[Row], per_picture: int, seed: int) -> tuple[list[Pair], int]:
    """The pairs of a task, and how many pictures have none because they are alone in their group.

    Args:
        task: Name of a task.
        rows: The pictures.
        per_picture: Conditions of one target at most, where groups are paired.
        seed: Chooses them.
    """
    if task not in GROUPED:
        return [_as_listed(row) for row in rows], 0
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.condition is None and row.group is not None:
            groups[row.group].append(row)
    places: dict[str, int] = {}
    for group in groups.values():  # each once: a group may be a million pictures
        group.sort(key=lambda row: rank(seed, "pair", row.target))
        places |= {row.target: place for place, row in enumerate(group)}
    found, alone = [], 0
    for row in rows:
        if row.condition is not None:
            found.append(_as_listed(row))
            continue
        group = groups[row.group] if row.group is not None else [row]
        others = min(per_picture, len(group) - 1)
        alone += not others
        for step in range(1, others + 1):
            other = group[(places[row.target] + step) % len(group)]
            licences = tuple(dict.fromkeys((row.licence, other.licence)))
            found.append(Pair(row, other.target, other.prompt, licences))
    return found, alone


def _as_listed(row: Row) -> Pair:
    """A list's licence speaks of the whole row."""
    return Pair(row, row.condition, row.cond_prompt, (row.licence,))
