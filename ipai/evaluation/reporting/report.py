"""`report/index.html` of a run: facts, curves, tables and pictures on one page that stands alone."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from ipai.errors import DataError
from ipai.evaluation.evaluating import Evaluated
from ipai.evaluation.layout import BEFORE_AND_AFTER, SHEET
from ipai.evaluation.reporting.comparing import Line, columns, difference, paper_rows, paper_source, read_lines
from ipai.evaluation.reporting.grids import HEADS, answers_by_task
from ipai.evaluation.reporting.table import number, title, warnings
from ipai.evaluation.sampling.image_shards import Part, read_part
from ipai.evaluation.scoring.statistics import SCORES
from ipai.files import write_text
from ipai.pages import chart_url, data_url, render_page
from ipai.records import read_json_lines

PAGE = Path("report") / "index.html"
_LOSSLESS_PX = 128  # photographs are larger than toy pictures, and as PNG they would make pages of 100 MB


def write_report(run: Path, done: Evaluated, shown: int) -> Path:
    """Write the page of a run from its latest evaluation, its baselines' evaluations and its metrics.

    Args:
        run: The run folder.
        done: The evaluation.
        shown: Pictures of each task.

    Raises:
        DataError: A picture is missing or damaged.
    """
    lines = read_metrics(run)
    html = render_page(
        "report.html.jinja",
        title=title(done.scores),
        run=run.resolve().name,
        warnings=warnings(done.scores),
        facts=_facts(done),
        curves=[chart_url(figure) for figure in curves(lines)],
        paper=_paper_table(run),
        scores=_score_table(done.scores),
        sheet=_drawn(run / SHEET),
        before_and_after=_drawn(run / BEFORE_AND_AFTER),
        crossed=_crossed(done.crossed, done),
        grids=_grids(done.parts, shown),
        oracles=done.scores["oracles"],
        heads=HEADS,
    )
    write_text(run / PAGE, html)
    return run / PAGE


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; none if it is missing, as of a run that was copied without it."""
    path = run / "metrics.jsonl"
    return list(read_json_lines(path, dict[str, Any])) if path.exists() else []


def curves(lines: Sequence[dict[str, Any]]) -> list[Figure]:
    """Training loss, and validation loss of each task relative to its start."""
    figures = []
    training = [(line["samples_seen"], line["loss/train"]) for line in lines if line.get("loss/train") is not None]
    if training:
        figures.append(_plot({"training": training}, "training loss"))
    by_task: dict[str, list[tuple[int, float]]] = {}
    for line in lines:
        for key, value in line.items():
            if key.startswith("validation/loss/") and value is not None:
                by_task.setdefault(key.removeprefix("validation/loss/"), []).append((line["samples_seen"], value))
    if by_task:
        relative = {task: [(seen, loss / of[0][1]) for seen, loss in of] for task, of in by_task.items()}
        figures.append(_plot(relative, "validation loss on fixed noise / at the start"))
    return figures


def _plot(lines: dict[str, list[tuple[int, float]]], name: str) -> Figure:
    figure = Figure(figsize=(5.6, 3.2), layout="constrained")
    axes = figure.subplots()
    for label, points in lines.items():
        axes.plot(*zip(*points, strict=True), label=label)
    axes.set(xlabel="samples seen", ylabel=name)
    if len(lines) > 1:
        axes.legend()
    return figure


def _facts(done: Evaluated) -> list[tuple[str, str]]:
    scores = done.scores
    settings, git = scores["settings"], scores["git"]
    commit = "not from a git checkout" if git is None else git["commit"][:12] + (" (changed)" if git["changed"] else "")
    return [
        ("experiment", f"{scores['experiment']}, recipe {scores['recipe']}"),
        ("trained", f"{scores['step']:,} steps, {scores['samples_seen']:,} samples"),
        ("base", scores["base"]),
        ("adapter", f"{scores['weights']} weights, sha256 {scores['adapter_sha256'][:16]}"),
        ("held-out samples", f"{settings['limit']} a task at most, seed {settings['seed']}"),
        ("instructions", settings["instructions"]),
        ("precision", settings["dtype"]),
        ("sampler", f"{settings['scheduler']}; " + _samplings(settings["sampling"])),
        ("scored by", scores["models"]["clip"]),
        ("code", commit),
        ("versions", ", ".join(f"{name} {value}" for name, value in scores["versions"].items())),
    ]


def _samplings(sampling: dict[str, dict[str, Any]]) -> str:
    """The settings of each task, those that are alike together."""
    tasks_of: dict[str, list[str]] = {}
    for task, of in sampling.items():
        guidance = (
            f"guidance {of['guidance_scale']}" if of["guidance"] is None else f"four-pass guidance {of['guidance']}"
        )
        tasks_of.setdefault(f"{of['steps']} steps, {guidance}, adapter scale {of['scale']}", []).append(task)
    return "; ".join(f"{', '.join(tasks)}: {words}" for words, tasks in tasks_of.items())


def _paper_table(run: Path) -> dict[str, Any]:
    lines = read_lines([run])
    shown = [(task, score) for task, score in columns() if any(task in line.scores for line in lines)]
    rows = [
        (line.name, [number(line.scores[task]["tasks"][task].get(score)) if task in line.scores else ""
                     for task, score in shown])
        for line in lines
    ]  # fmt: skip
    gains = [_gains(lines[0], line, shown) for line in lines[1:]]
    paper = [
        (name, [f"{of[task][score]:.4f}" if task in of else "" for task, score in shown])
        for name, of in paper_rows().items()
    ]
    heads = [f"{task} {SCORES[score]}" for task, score in shown]
    return {"heads": heads, "rows": rows, "gains": gains, "paper": paper, "source": paper_source()}


def _gains(first: Line, other: Line, shown: Sequence[tuple[str, str]]) -> tuple[str, list[tuple[str, bool]]]:
    cells = []
    try:
        for task, score in shown:
            found = difference(first, other, task, score)
            interval = "" if found is None or found.low is None else f" [{found.low:+.3f}, {found.high:+.3f}]"
            cells.append(("", False) if found is None else (f"{found.mean:+.4f}{interval}", found.clear))
    except DataError:
        return f"{other.name}: evaluated with other settings, so not compared", [("", False)] * len(shown)
    return other.name, cells


def _score_table(scores: dict[str, Any]) -> dict[str, Any]:
    names = [name for name in SCORES if any(name in of for of in scores["tasks"].values())]
    rows = [(task, [number(of.get(name)) for name in names]) for task, of in scores["tasks"].items()]
    return {"heads": [SCORES[name] for name in names], "rows": rows}


def _grids(parts: Sequence[Part], shown: int) -> dict[str, list[dict[str, Any]]]:
    """Task -> rows of texts and pictures."""
    return {
        task: [
            {"instruction": question.instruction, "prompt": question.prompt, "pictures": [_url(one) for one in row]}
            for question, row in own
        ]
        for task, own in answers_by_task(parts, shown).items()
    }


def _drawn(path: Path) -> str | None:
    """What scripts/show_toy_run.py drew, if it was asked to."""
    return data_url(Image.open(path)) if path.exists() else None


def _crossed(parts: Sequence[Part], done: Evaluated) -> dict[str, Any] | None:
    """Conditions on top, below them a row of answers for each instruction."""
    if not parts:
        return None
    by_task: dict[str, list[tuple[str, str]]] = {}
    first = parts[0].source
    for part in parts:
        task = part.questions[0].task
        by_task.setdefault(task, []).extend(
            (question.instruction, _url(_opened(png))) for question, png in read_part(part)
        )
    side = done.evaluated.base.resolution
    conditions = [_url(first.condition(question).resize((side, side))) for question in first.questions]
    prompts = [question.prompt for question in first.questions]
    rows = [(task, own[0][0], [url for _, url in own]) for task, own in by_task.items()]
    return {"conditions": conditions, "prompts": prompts, "rows": rows}


def _opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png)).convert("RGB")


def _url(picture: Image.Image) -> str:
    return data_url(picture, "png" if picture.width <= _LOSSLESS_PX else "jpeg")
