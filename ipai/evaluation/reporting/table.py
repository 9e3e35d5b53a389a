"""Scores as Markdown: what the paper's Table 1 shows for each task, then the rest."""

from collections.abc import Iterable, Sequence
from typing import Any

from ipai.backbones.config import TOY_BASES
from ipai.evaluation.config import EDITOR
from ipai.evaluation.scoring.statistics import SCORES
from ipai.evaluation.scoring.taken_and_leaked import LEAKED, TAKEN
from ipai.tasks import TASKS, get_task
from ipai.toyworld.factors import CHOICES


def table(scores: dict[str, Any]) -> str:
    """The page of one evaluation.

    Args:
        scores: The content of scores.json.
    """
    settings = scores["settings"]
    columns = [name for name in SCORES if any(name in of for of in scores["tasks"].values())]
    lines = [f"# {title(scores)}", ""]
    lines += [f"**{warning}**\n" for warning in warnings(scores)]
    lines += [
        f"{settings['limit']} held-out samples a task at most, seed {settings['seed']}, {settings['instructions']} "
        f"instructions, {settings['scheduler']}; scored by {scores['models']['clip']}. Means ± standard errors.",
        "",
        *markdown(
            ["task", "n", *(SCORES[name] for name in columns)],
            [_row(task, of, columns) for task, of in scores["tasks"].items()],
        ),
        "",
        "Bold: what the paper's Table 1 gives. CLIP-T, CLIP-P and CLIP-S are scaled by 2.5.",
        *_taken_and_leaked(scores),
    ]
    if scores["oracles"] is not None:
        lines += ["", "## What the oracles find", "", *oracle_lines(scores["oracles"])]
    return "\n".join(lines) + "\n"


def oracle_lines(oracles: dict[str, Any]) -> list[str]:
    """The oracles' tables: how often each factor of the condition was taken, and how often the prompt's was drawn."""
    lines = [
        "Share of answers, in per cent, that have the condition's factor; bold where the instruction asks for it, the "
        "others are leaks where they are above chance. After a slash the share that has the prompt's. Pairs that agree "
        "anyway are not counted.",
    ]
    for kind, tasks in oracles["tables"].items():
        factors = list(next(iter(tasks.values())))
        rows = [[task, *(_share(tasks[task][name]) for name in factors)] for task in TASKS if task in tasks]
        prompted = {name for of in tasks.values() for name, factor in of.items() if "followed" in factor}
        # What a prompt names is drawn as it says, so that a condition's is met less often than by chance.
        chances = ["" if name in prompted else f"{100 / len(CHOICES[name]):.0f}" for name in factors]
        lines += ["", *markdown([kind, *factors], [*rows, ["*by chance*", *chances]])]
        left_out = [f"{name} ({100 * oracles['accuracy'][kind][name]:.1f} %)" for name in oracles["not_scored"][kind]]
        if left_out:
            lines += ["", f"Not scored, as the oracle's held-out accuracy is not above 97 %: {', '.join(left_out)}."]
    return lines


def _share(factor: dict[str, Any]) -> str:
    def percent(value: dict[str, Any] | None) -> str:
        if value is None:
            return ""
        error = value["standard_error"]
        return f"{100 * value['mean']:.0f}" + ("" if error is None else f" ± {100 * error:.0f}")

    taken = percent(factor["taken"])
    followed = percent(factor.get("followed"))
    return (f"**{taken}**" if factor["asked"] and taken else taken) + (f" / {followed}" if followed else "")


def title(scores: dict[str, Any]) -> str:
    """The run, its weights and how far it was trained."""
    name = scores["run"] or "adapter"
    at = f"step {scores['step']:,}" if scores["step"] else "before training"
    return f"{name}: {scores['weights']}" + (f", {at}" if scores["weights"] != EDITOR else ", as it was released")


def warnings(scores: dict[str, Any]) -> list[str]:
    """What keeps the numbers from being compared with the paper's."""
    found = []
    if scores["random_weights"]:
        found.append("The base has RANDOM weights: these numbers only show that the commands run.")
    elif scores["base"] in TOY_BASES:
        found.append("Toy world: the numbers compare with each other, not with the paper's.")
    return found


def number(value: dict[str, Any] | None, digits: int = 4) -> str:
    """A mean and its standard error."""
    if value is None:
        return ""
    error = value["standard_error"]
    return f"{value['mean']:.{digits}f}" + ("" if error is None else f" ± {error:.{digits}f}")


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table; its first column is text, the others are numbers."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _taken_and_leaked(scores: dict[str, Any]) -> list[str]:
    """What measures with weights of their own say, if any were asked for."""
    if "measures" not in scores:
        return []

    def said(names: Sequence[str], of: dict[str, Any]) -> str:
        return ", ".join(f"{SCORES[name]} {number(of[name], 3)}" for name in names if name in of)

    rows = [[task, said(TAKEN[task], of), said(LEAKED[task], of)] for task, of in scores["tasks"].items()]
    by: dict[str, list[str]] = {}
    for name, one in scores["measures"].items():
        by.setdefault(f"{one['weights']} ({one['licence']})", []).append(SCORES[name])
    sources = "; ".join(f"{', '.join(names)}: {what}" for what, names in by.items())
    return [
        "", "## Taken and leaked", "",
        "By what each measure sees: of the first column more is better, of the second less.", "",
        *markdown(["task", "taken", "leaked"], rows), "", f"{sources}.",
    ]  # fmt: skip


def _row(task: str, scores: dict[str, Any], columns: Sequence[str]) -> list[str]:
    cells = []
    for name in columns:
        text = number(scores.get(name))
        cells.append(f"**{text}**" if text and name in get_task(task).scores else text)
    return [task, str(max(value["n"] for value in scores.values())), *cells]
