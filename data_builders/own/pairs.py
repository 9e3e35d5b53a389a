"""Which picture is the condition of which: as the list says, or as the task pairs pictures."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from data_builders.engine.keyed_hash import rank
from data_builders.own.rows import Row

GROUPED = ("style", "face")
"""Tasks whose condition is another picture of the same group."""


@dataclass(frozen=True)
class Pair:
    """A target, and the path of its condition; None where the condition is made of the target, or is it."""

    row: Row
    condition: str | None
    cond_prompt: str | None


def pairs_of(task: str, rows: Sequence[Row], per_picture: int, seed: int) -> tuple[list[Pair], int]:
    """The pairs of a task, and how many pictures have none because they are alone in their group.

    Args:
        task: Name of a task.
        rows: The pictures.
        per_picture: Conditions of one target at most, where groups are paired.
        seed: Chooses them.
    """
    if task not in GROUPED:
        return [Pair(row, row.condition, row.cond_prompt) for row in rows], 0
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.condition is None and row.group is not None:
            groups[row.group].append(row)
    found, alone = [], 0
    for row in rows:
        if row.condition is not None:
            found.append(Pair(row, row.condition, row.cond_prompt))
            continue
        others = list(_others(row, groups[row.group] if row.group is not None else [], seed))[:per_picture]
        alone += not others
        found += [Pair(row, other.target, other.prompt) for other in others]
    return found, alone


def _others(row: Row, group: Sequence[Row], seed: int) -> Iterator[Row]:
    others = [other for other in group if other.target != row.target]
    yield from sorted(others, key=lambda other: rank(seed, f"pair of {row.target}", other.target))
