"""The two files of a pool, in the format that `ipai.instructions.pools` reads; both are checked before they appear."""

import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from data_builders.engine.shard import writing
from data_builders.instructions.prompts import paper_prompt
from ipai.files import write_text
from ipai.instructions.pools import SPLITS, load_pool
from ipai.tasks import get_task

_TITLES = {"train": "Training instructions", "val": "Held-out validation instructions"}


@dataclass(frozen=True)
class Written:
    """Which model gave an answer, and on which day."""

    model: str
    date: str


def write_pools(
    folder: Path, task: str, lines: tuple[list[str], list[str]], written: list[Written]
) -> tuple[Path, Path]:
    """Write `<task>.train.txt` and `<task>.val.txt`, over those that are there.

    Raises:
        InstructionError: They break a rule of the pools; nothing is written then.
        DataError: The folder cannot be written.
    """
    texts = {split: _text(task, split, part, written) for split, part in zip(SPLITS, lines, strict=True)}
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".checking.") as name:
            for split, text in texts.items():
                (Path(name) / f"{task}.{split}.txt").write_text(text, encoding="utf-8")
            for split in SPLITS:
                load_pool(task, split, Path(name))
        for split, text in texts.items():
            write_text(folder / f"{task}.{split}.txt", text)
    return folder / f"{task}.train.txt", folder / f"{task}.val.txt"


def _text(task: str, split: str, lines: list[str], written: list[Written]) -> str:
    models = ", ".join(name for name, _ in Counter(answer.model for answer in written).most_common())
    days = sorted({answer.date for answer in written})
    period = " to ".join(dict.fromkeys([days[0], days[-1]]))
    slot = get_task(task).slot
    head = [
        f"{_TITLES[split]} of the {task} task, one a line.",
        f"Written by {models}, {period}, for the paper's prompt (section 3.2):",
        f'  "{paper_prompt(task)}"',
        "asked for in several lengths and manners; filtered by the key-word rule, without exact and near duplicates.",
    ]
    if slot:
        head.append(
            f"{{{slot}}} stands for the name of the object: the templates were filtered before it is filled in."
        )
    return "".join(f"# {line}\n" for line in head) + "".join(f"{line}\n" for line in lines)
