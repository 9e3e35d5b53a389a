"""`docs/results.md`: what the miniature says to each of the paper's claims, from the runs' evaluations."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ipai.evaluation.figures.figure_7 import evaluated_checkpoints
from ipai.evaluation.layout import FOLDER, SCORES
from ipai.evaluation.reporting.claims.answers import LEAK, MARGIN, claims
from ipai.evaluation.reporting.claims.shares import TELLING, share_in
from ipai.evaluation.reporting.comparing import columns, read_evaluation, read_lines
from ipai.evaluation.reporting.comparison_page import compared
from ipai.evaluation.reporting.reproducing import TOLD_BY, ReproduceConfig, run_folder, seeds_of, then_new_task
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
    kept = previous[previous.index(MEANING) :] if previous and MEANING in previous else _UNWRITTEN
    title = "# Results in the toy world" if config.experiments else f"# A new task in the toy world: {config.new_task}"
    parts = [title, _how(config, command), _claims(config), *_sections(config), kept.strip()]
    return "\n\n".join(parts) + "\n"


def _how(config: ReproduceConfig, command: str) -> str:
    """What was run, with what."""
    first = run_folder(config, "joint") if config.experiments else then_new_task(config, "joint")[0]
    scores, _ = read_evaluation(first / FOLDER)
    whose = "The joint run had" if config.experiments else "The new task had"
    several = any(len(seeds_of(config, name)) > 1 for name in config.experiments)
    return (
        f"Written by `{command}`; not by hand except the last section. Training seed {config.seed}, evaluation seed "
        f"{scores['settings']['seed']}, at most {config.limit} held-out samples a task, code "
        f"{(scores['git'] or {'commit': 'unknown'})['commit'][:12]}. {whose} {scores['step']:,} steps and "
        f"{scores['samples_seen']:,} samples. The oracles' tables are of {config.oracles} pictures a line. "
        "Errors and intervals are over held-out samples. Where nothing else is said, the run is that of the first "
        "training seed" + ("; what another one changes has a table of its own." if several else ".")
    )


def _sections(config: ReproduceConfig) -> Iterator[str]:
    """The tables behind the claims."""
    if config.experiments:
        folders = {experiment: run_folder(config, experiment) for experiment in config.experiments}
        yield _joint_against_single(folders)
        yield _fixed_against_random(folders)
        yield from _seeds(config)
        yield _over_training(config, folders)
        yield from _leaks_over_training(folders["joint"])
        yield _oracles(folders)
    if config.new_task is not None:
        yield _new_task(config, config.new_task)


def _claims(config: ReproduceConfig) -> str:
    rows = [[claim.text, claim.answer, claim.evidence] for claim in claims(config)]
    note = (
        "Differences with 95 % bootstrap intervals over held-out samples, of means over the training seeds where runs "
        "are compared, else of the first; one is clear where it is there after a correction for the number of scores "
        "(Holm, paired t-tests, 5 %), and where both sides have several training seeds, between those too (Welch, "
        "Bonferroni). Better: clearly above in some and clearly below in none; scores against the condition (CLIP-I, "
        "CLIP-S) also reward what should not be taken, which the oracles see. Shares of answers, by the oracles, with "
        "standard errors."
    )
    if config.experiments:
        note += (
            f" On a par: at most {MARGIN:.0%} of the other's mean below it, or {100 * MARGIN:.0f} points; there, and "
            f"for Figures 7 and 8, by each interval. More than {LEAK:.0%} of the places kept are a leak."
        )
    lines = ["| claim | answer | measured |", "| --- | --- | --- |", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(["## The claims", "", note, "", *lines])


def _joint_against_single(folders: dict[str, Path]) -> str:
    chosen = [path for name, path in folders.items() if name == "joint" or name.startswith("single_")]
    chosen += [folders["task_embedding"]] if "task_embedding" in folders else []
    lines = read_lines(chosen)
    text = compared(lines).markdown().split("\n", 2)[2]
    return "## Joint against single-task\n\n" + text.replace("\n## ", "\n### ").strip()


def _fixed_against_random(folders: dict[str, Path]) -> str:
    names = [name for name in ("joint", "fixed_instruction", "average_instruction") if name in folders]
    own = [folders[name] / FOLDER for name in names]
    lines = read_lines([path / wordings for path in own for wordings in ("", "val", "train", "fixed")
                        if (path / wordings / SCORES).is_file()], baselines=False)  # fmt: skip
    body = compared(lines).markdown().split("\n", 2)[2].replace("\n## ", "\n### ").strip()
    note = (
        "By wordings that no training has seen where none is named; `train`: those of the pools; `fixed`: one a task."
    )
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


def _seeds(config: ReproduceConfig) -> Iterator[str]:
    """A table for the experiments that were trained with several seeds."""
    names = [name for name in config.experiments if len(seeds_of(config, name)) > 1]
    runs = {name: [read_evaluation(run / FOLDER)[0]["tasks"] for run in seeds_of(config, name)] for name in names}
    rows = []
    for task, score in columns():
        means = {
            name: [of[task][score]["mean"] for of in each if score in of.get(task, {})] for name, each in runs.items()
        }
        if any(means.values()):
            rows.append([f"{task} {NAMES[score]}", *(_spread(means[name]) for name in names)])
    if names:
        note = "By each run's own wordings: the mean over training seeds, their standard deviation, and each seed's."
        yield "\n".join(["## How much a training seed changes", "", note, "", *markdown(["", *names], rows)])


def _new_task(config: ReproduceConfig, task: str) -> str:
    """What the task that came last scores, and what the oracles find, before its first sample and after its last."""
    rows, seen = [], []
    for when, wordings in (("before", "start"), ("after", "")):
        for name, told in TOLD_BY.items():
            runs = [read_evaluation(run / FOLDER / wordings)[0] for run in then_new_task(config, name)]
            means = [[of["tasks"][task][score]["mean"] for of in runs] for score in get_task(task).scores]
            rows.append([f"{when}, by {told}", *map(_spread, means)])
            seen.append((f"{task} {when} its first samples, told by {told}", runs[0]))
    heads = ["", *(NAMES[score] for score in get_task(task).scores)]
    several = ": the mean over training seeds, their standard deviation, and each seed's" if len(runs) > 1 else ""
    note = f"Scores of {task} after the other tasks{several}. The oracles' tables are those of the first seed."
    table_ = "\n".join(["## A new task, told by a text and by an embedding", "", note, "", *markdown(heads, rows)])
    return "\n\n".join([table_, *_tables(seen)])


def _spread(means: Sequence[float]) -> str:
    if not means:
        return ""
    if len(means) < 2:
        return f"{means[0]:.4f}"
    return f"{np.mean(means):.4f} ± {np.std(means, ddof=1):.4f} ({', '.join(f'{one:.3f}' for one in means)})"


def _leaks_over_training(joint: Path) -> Iterator[str]:
    """What "use the style" and "use the face" take and leak at each checkpoint of the joint run."""
    shown = {"style": ("style", "place"), "face": ("hair_colour", "style")}
    rows, heads = [], [f"{task}: {factor}" for task, factors in shown.items() for factor in factors]
    for scores in evaluated_checkpoints(joint):
        shares = [
            share_in(scores, TELLING[task][0], task, factor) for task, factors in shown.items() for factor in factors
        ]
        if any(shares):
            rows.append([f"{scores['samples_seen']:,}", *("" if share is None else str(share) for share in shares)])
    if len(rows) > 1:
        yield "\n".join(["## What the joint run takes and leaks as it trains", "", *markdown(["after", *heads], rows)])


def _oracles(folders: dict[str, Path]) -> str:
    evaluated: list[tuple[str, dict[str, Any]]] = []
    for name, path in folders.items():
        unseen = ["val"] if (path / FOLDER / "val" / SCORES).is_file() else []  # of runs with wordings of their own
        for place in ["", *(["start"] if name == "joint" else []), *unseen]:
            scores, _ = read_evaluation(path / FOLDER / place)
            before = " before training" if place == "start" else ""
            own = scores["settings"]["instructions"] != "val"
            told = "the wordings of its training" if own else "unseen wordings"
            evaluated.append((f"{name}{before}, told by {told}", scores))
    return "\n\n".join(["## What was taken and what leaked", *_tables(evaluated)])


def _tables(evaluated: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    text = []
    for number_of, (name, scores) in enumerate(evaluated):
        if scores["oracles"] is not None:
            lines = oracle_lines(scores["oracles"])
            text.append(f"### {name}\n\n" + "\n".join(lines if number_of == 0 else lines[1:]).strip())
    return text
