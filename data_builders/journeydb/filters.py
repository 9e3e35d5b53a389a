"""Which annotated pictures become samples, in a fixed order, because it decides every count."""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from data_builders.engine.keyed_hash import rank
from data_builders.journeydb.prompts import clean

_PATH = re.compile(r"(?:\./)?(\d{3})/([^/\\]+\.\w+)")

FILTERS = (
    ("not_json", "the line is no JSON object, or longer than 1 MiB"),
    ("img_path", "img_path is missing or not of the form ./NNN/<name>.jpg"),
    ("no_prompt", "prompt is missing or no text"),
    ("archive_missing", "the archive imgs/NNN.tgz is not there"),
    ("duplicate", "an earlier line names the same picture"),
    ("empty_prompt", "the prompt has no letter or digit once flags, weights and addresses are taken out"),
)
"""Reason and what it means, in the order in which they are looked for."""


@dataclass(frozen=True)
class Picture:
    """An annotated picture: file `name` of archive `archive`; the prompt as it was given, and cleaned."""

    archive: str
    name: str
    raw_prompt: str
    prompt: str


class Sieve:
    """Judges the lines of an annotation file one by one and counts what it drops; holds no line.

    Args:
        archives: Numbers of the archives that are there (`000`).
    """

    def __init__(self, archives: Collection[str]) -> None:
        self.considered = 0
        self.drops = {reason: 0 for reason, _ in FILTERS}
        self._archives = archives
        self._seen: set[int] = set()  # numbers, not names: there are 4.5 million

    def judge(self, line: bytes) -> Picture | None:
        """The picture that a line describes, or None if a filter drops it."""
        self.considered += 1
        found = self._read(line)
        if isinstance(found, Picture):
            return found
        self.drops[found] += 1
        return None

    @property
    def passed(self) -> int:
        """How many lines passed."""
        return self.considered - sum(self.drops.values())

    def _read(self, line: bytes) -> Picture | str:
        entry = _json_object(line)
        if entry is None:
            return "not_json"
        path, prompt = entry.get("img_path"), entry.get("prompt")
        match = _PATH.fullmatch(path) if isinstance(path, str) and path.isprintable() else None
        if match is None:
            return "img_path"
        if not isinstance(prompt, str):
            return "no_prompt"
        archive, name = match.groups()
        if archive not in self._archives:
            return "archive_missing"
        if self._is_repeated(f"{archive}/{name}"):
            return "duplicate"
        text = clean(prompt)
        return Picture(archive, name, prompt.encode("utf-8", "replace").decode(), text) if text else "empty_prompt"

    def _is_repeated(self, path: str) -> bool:
        number = int.from_bytes(rank(0, "seen", path)[:8])
        if number in self._seen:
            return True
        self._seen.add(number)
        return False


def _json_object(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
