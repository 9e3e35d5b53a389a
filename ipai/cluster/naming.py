"""Names for the points of a sweep: two points never share a run folder."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ipai.config import TrainingRun
from ipai.errors import ConfigError
from ipai.runs.run_folder import folder_of


@dataclass(frozen=True)
class Point:
    """One run of a command: its checked configuration, and the words that compose it."""

    config: TrainingRun
    overrides: tuple[str, ...]


def distinct(points: Sequence[Point]) -> list[Point]:
    """Points whose folders differ: where several have one name, what tells them apart is appended to it.

    `experiment=joint,single_style train.seed=0,1` gives `joint-paper-seed-0`, `joint-paper-seed-1` and so on.

    Raises:
        ConfigError: Two points are the same run.
    """
    counts = Counter(folder_of(point.config).resolve() for point in points)
    named = [
        _renamed(point, _varying(points)) if counts[folder_of(point.config).resolve()] > 1 else point
        for point in points
    ]
    seen: dict[Path, Point] = {}
    for point in named:
        other = seen.setdefault(folder_of(point.config).resolve(), point)
        if other is not point:
            raise ConfigError(
                f"two points of the sweep would share {folder_of(point.config)}: {' '.join(other.overrides)} and "
                f"{' '.join(point.overrides)}; leave one out or set run=NAME with what differs, "
                "e.g. 'run=try-${train.seed}'"
            )
    return named


def _varying(points: Sequence[Point]) -> list[str]:
    """Keys whose values differ between the points, in the order of the command; experiment and recipe name a run."""
    values: dict[str, set[str]] = {}
    for point in points:
        for key, value in _pairs(point):
            values.setdefault(key, set()).add(value)
    return [key for key, found in values.items() if len(found) > 1 and key not in ("experiment", "recipe", "run")]


def _renamed(point: Point, keys: list[str]) -> Point:
    own = dict(_pairs(point))
    parts = [f"{key.rpartition('.')[2]}-{own[key]}" for key in keys if key in own]
    name = "-".join([point.config.run, *(re.sub(r"[^A-Za-z0-9._-]+", "_", part) for part in parts)])
    quoted = name.replace("\\", "\\\\").replace("'", "\\'")
    kept = tuple(word for word in point.overrides if not word.startswith("run="))
    config = replace(point.config, run=name)
    config.unresolved = point.config.unresolved
    return Point(config, (*kept, f"run='{quoted}'"))


def _pairs(point: Point) -> list[tuple[str, str]]:
    return [(key.lstrip("+"), value) for key, _, value in (word.partition("=") for word in point.overrides)]
