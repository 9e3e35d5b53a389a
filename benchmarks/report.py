"""A benchmark's result: rows and facts, as a table for people and as JSON for machines."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.machine import describe
from ipai.evaluation.reporting.table import markdown
from ipai.files import write_json

Row = dict[str, Any]


@dataclass
class Report:
    """What one benchmark found.

    Attributes:
        name: The benchmark.
        quick: Whether it was the short form, on a small base.
        rows: The table, one contestant a row; all rows have the same columns.
        facts: What the rows depend on.
        notes: What has to be known to read them.
    """

    name: str
    quick: bool
    rows: list[Row]
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    machine: dict[str, Any] = field(default_factory=describe)

    def write(self, path: Path) -> None:
        """Write all of it as JSON."""
        write_json(path, vars(self))

    def text(self) -> str:
        """The table in Markdown, and below it notes, facts and machine."""
        columns = list(self.rows[0])
        lines = markdown(columns, [[_cell(row[column]) for column in columns] for row in self.rows])
        details = [f"{name}: {_cell(value)}" for name, value in (self.facts | self.machine).items()]
        return "\n".join([*lines, "", *self.notes, "", *details])


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_cell(item)}" for name, item in value.items())
    return f"{value:,.3g}" if isinstance(value, float) and abs(value) < 100 else _long(value)


def _long(value: Any) -> str:
    return f"{value:,.0f}" if isinstance(value, float) else str(value)
