"""Instruction pools: for each task and split a text file, one instruction a line (paper section 3.2).

The lines at the top that begin with # say where a pool comes from. Every other line is an instruction. A pool is used
as a whole or refused: a line that breaks a rule is named with its file and number. Both splits are checked together,
so that training cannot start on an instruction that is held out.
"""

import itertools
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from ipai.errors import ConfigError, InstructionError
from ipai.instructions.keywords import foreign_keyword, holds_keyword
from ipai.instructions.slots import slots_in
from ipai.tasks import Task, get_task

SPLITS = ("train", "val")
SHIPPED = Path(__file__).parent / "pools"


class _Line(NamedTuple):
    where: str
    text: str


def load_pool(task: str, split: str, folder: Path | None = None) -> tuple[str, ...]:
    """The instructions of a task, in the file's order; object names are not filled in yet (`fill_slot`).

    Args:
        task: Name of a task.
        split: "train" or "val".
        folder: Holds `<task>.train.txt` and, where validation is wanted, `<task>.val.txt`; None for the shipped pools.

    Raises:
        ConfigError: There is no such task or split.
        InstructionError: The file is missing, is not UTF-8 or holds no instruction; or a line is empty, holds another
            task's key word or a placeholder its task does not have, names the object itself where the placeholder
            belongs, or repeats an instruction of this split or the other (case, spaces and punctuation aside).
    """
    if split not in SPLITS:
        raise ConfigError(f"there is no split {split!r} of the instructions; the splits are {', '.join(SPLITS)}")
    owner, folder = get_task(task), folder or SHIPPED
    paths = {name: folder / f"{task}.{name}.txt" for name in SPLITS}
    there = tuple((name, path, _read(path)) for name, path in paths.items() if name == split or path.exists())
    return _checked(owner, there)[split]


@lru_cache(maxsize=32)  # a training asks for each pool three times, and thousands of lines take a second to check
def _checked(task: Task, pools: tuple[tuple[str, Path, str], ...]) -> dict[str, tuple[str, ...]]:
    """Split -> lines, of pools given as split, file and content, checked beside each other."""
    lines = {split: _lines(path, content) for split, path, content in pools}
    seen: dict[str, str] = {}
    for line in itertools.chain.from_iterable(lines.values()):
        _check(line, task)
        _check_new(line, seen)
    return {split: tuple(line.text for line in own) for split, own in lines.items()}


def normalised(text: str) -> str:
    """What two instructions have in common that differ in case, spaces and punctuation only."""
    return " ".join(re.findall(r"\w+|[{}]", text.casefold()))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InstructionError(f"there is no instruction pool {path}; write one instruction a line into it") from error
    except UnicodeDecodeError as error:
        raise InstructionError(f"{path} is not UTF-8 text: {error}; save it as UTF-8") from error


def _lines(path: Path, content: str) -> list[_Line]:
    lines = list(_below_head(path, content))
    if not lines:
        raise InstructionError(f"{path} holds no instruction; write one a line")
    return lines


def _below_head(path: Path, content: str) -> Iterator[_Line]:
    head = True
    for number, text in enumerate(content.removeprefix("\ufeff").splitlines(), start=1):
        head = head and text.startswith("#")
        if not head:
            yield _Line(f"{path}:{number}", text.strip())


def _check(line: _Line, task: Task) -> None:
    if not line.text:
        raise InstructionError(f"{line.where}: the line is empty; delete it")
    if line.text.startswith("#"):
        raise InstructionError(f"{line.where}: remarks stand at the top of the file only; move or delete it")
    own = f"{{{task.slot}}}" if task.slot else None
    for slot in slots_in(line.text):
        if slot != own:
            allowed = f"only {own} may be used" if own else "no placeholder may be used"
            raise InstructionError(
                f"{line.where}: unknown placeholder {slot!r} in {line.text!r}; {allowed} for {task.name}"
            )
    if word := foreign_keyword(line.text, task.name):
        raise InstructionError(
            f"{line.where}: {line.text!r} holds {word!r}, the key word of a task other than {task.name}; reword it"
        )
    if own and holds_keyword(line.text.replace(own, " "), task.name):
        raise InstructionError(f"{line.where}: {line.text!r} names the {task.keyword} itself; write {own} in its place")


def _check_new(line: _Line, seen: dict[str, str]) -> None:
    earlier = seen.setdefault(normalised(line.text), line.where)
    if earlier != line.where:
        raise InstructionError(
            f"{line.where}: {line.text!r} repeats {earlier} (case, spaces and punctuation aside); delete one"
        )
