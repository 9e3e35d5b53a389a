"""`docs/results.md`: what the miniature says to each of the paper's claims, from the runs' evaluations."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ipai.errors import DataError
from ipai.evaluation.figures.figure_7 import evaluated_checkpoints
from ipai.evaluation.layout import FOLDER, SCORES
from ipai.evaluation.reporting.comparing import SINGLE, Line, columns, difference, read_evaluation, read_lines
from ipai.evaluation.reporting.comparison_page import compared
from ipai.evaluation.reporting.reproducing import ReproduceConfig, run_folder
from ipai.evaluation.reporting.table import markdown, number, oracle_lines
from ipai.evaluation.scoring.statistics import SCORES as NAMES
from ipai.tasks import get_task

MEANING = "## What it means"
_UNWRITTEN = f"{MEANING}\n\nNot written yet: this section is kept when the page is made again.\n"


def results(config: ReproduceConfig, command: str, previous: str | None) -> str:
    """The page.

    Args:
        config: What was trained and evaluated.
        command: That made it.
        previous: The page that was there, whose section "What it means" is kept.

    Raises:
        DataError: An evaluation is missing.
    """
    folders = {experiment: run_folder(config, experiment) for experiment in config.experiments}
    if "joint" not in folders:
        raise DataError("the results are about the joint run; name joint in experiments")
    joint, _ = read_evaluation(folders["joint"] / FOLDER)
    parts = [
        "# Results in the toy world",
        f"Written by `{command}`; not by hand except the last section. Training seed {config.seed}, evaluation seed "
        f"{joint['settings']['seed']}, at most {config.limit} held-out samples a task, code "
        f"{(joint['git'] or {'commit': 'unknown'})['commit'][:12]}. The joint run had {joint['step']:,} steps and "
        f"{joint['samples_seen']:,} samples. The oracles' tables are of {config.oracles} pictures a line. "
        "Errors and intervals are over held-out samples; they do not say how much another training seed changes.",
        _joint_against_single(folders),
        _fixed_against_random(folders),
        _over_training(config, folders),
        _oracles(folders),
        previous[previous.index(MEANING) :].strip() if previous and MEANING in previous else _UNWRITTEN.strip(),
    ]
    return "\n\n".join(parts) + "\n"


def _joint_against_single(folders: dict[str, Path]) -> str:
    chosen = [path for name, path in folders.items() if name == "joint" or name.startswith("single_")]
    chosen += [folders["task_embedding"]] if "task_embedding" in folders else []
    lines = read_lines(chosen)
    text = compared(lines).markdown().split("\n", 2)[2]
    single = next((line for line in lines if line.name == SINGLE), None)
    claim = "" if single is None else (
        f"Training cost: {lines[0].samples_seen:,} samples for the joint run, {single.samples_seen:,} for the "
        f"single-task runs together. {verdict(lines[0], single)}\n\n"
    )  # fmt: skip
    return "## Joint against single-task\n\n" + claim + text.replace("\n## ", "\n### ").strip()


def verdict(first: Line, second: Line) -> str:
    """In how many of Table 1's scores the first line is clearly above or below the second."""
    found = [one for task, score in columns() if (one := difference(first, second, task, score)) is not None]
    above = sum(one.clear and one.mean > 0 for one in found)
    below = sum(one.clear and one.mean < 0 for one in found)
    return (
        f"Of {len(found)} scores, {first.name} is above {second.name} in {above}, below in {below}, and the interval "
        f"of the difference holds zero in {len(found) - above - below}."
    )


def _fixed_against_random(folders: dict[str, Path]) -> str:
    names = [name for name in ("joint", "fixed_instruction", "average_instruction") if name in folders]
    own = [folders[name] / FOLDER for name in names]
    lines = read_lines([path / wordings for path in own for wordings in ("", "val", "train", "fixed")
                        if (path / wordings / SCORES).is_file()], baselines=False)  # fmt: skip
    body = compared(lines).markdown().split("\n", 2)[2].replace("\n## ", "\n### ").strip()
    note = "`val`: wordings that no training has seen; `train`: those of the training pools; `fixed`: one a task."
    return f"## Random against fixed instructions\n\n{note}\n\n{body}"


def _over_training(config: ReproduceConfig, folders: dict[str, Path]) -> str:
    text = ["## Scores against samples seen"]
    for task in config.curve:
        score = get_task(task).scores[0]
        curves = {
            name: {of["samples_seen"]: of["tasks"].get(task, {}).get(score) for of in evaluated_checkpoints(path)}
            for name, path in folders.items()
            if name in ("joint", f"single_{task}")
        }
        seen = sorted({place for curve in curves.values() for place in curve})
        rows = [[f"{place:,}", *(number(curve.get(place)) for curve in curves.values())] for place in seen]
        text.append("\n".join(markdown([f"{task} {NAMES[score]} after", *curves], rows)))
    figure = os.path.relpath(Path(config.figures) / "figure-7.png", Path(config.output).parent)
    return "\n\n".join([*text, f"![Scores against samples seen]({figure})"])


def _oracles(folders: dict[str, Path]) -> str:
    evaluated: list[tuple[str, dict[str, Any]]] = []
    for name, path in folders.items():
        for folder in (path / FOLDER, path / FOLDER / "start"):
            if name == "joint" or folder.name == FOLDER:
                scores, _ = read_evaluation(folder)
                evaluated.append((name if folder.name == FOLDER else f"{name} before training", scores))
    return "\n\n".join(["## What was taken and what leaked", *_tables(evaluated)])


def _tables(evaluated: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    text = []
    for number_of, (name, scores) in enumerate(evaluated):
        if scores["oracles"] is not None:
            lines = oracle_lines(scores["oracles"])
            text.append(f"### {name}\n\n" + "\n".join(lines if number_of == 0 else lines[1:]).strip())
    return text
