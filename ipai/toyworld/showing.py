"""A run in the toy world, shown: one image under five instructions before and after, and what the oracles say of it."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from omegaconf import OmegaConf
from PIL import Image
from torch import Tensor

from ipai.adapter.formats import load_adapter
from ipai.base.dims import read_dims
from ipai.base.frozen import load_base
from ipai.base.instruction_encoder import OpenClipInstructionEncoder
from ipai.config import TrainingRun, parse
from ipai.errors import ConfigError
from ipai.files import atomic_path, write_json, write_text
from ipai.instructions.slots import fill_slot
from ipai.pages import data_url, render_page
from ipai.toyworld.asking import (
    PORTRAIT_TASKS,
    SCENE_TASKS,
    Questions,
    Sampling,
    Subject,
    object_names,
    questions,
)
from ipai.toyworld.factors import IDENTITY, Portraits, Scenes
from ipai.toyworld.weights import load_oracles
from ipai.training.assemble import build_adapter
from ipai.training.checkpoint import resolve

SCENE_FACTORS = ("object", "colour", "background", "place", "style")
PORTRAIT_FACTORS = (*IDENTITY, "style")
_SEEDS = 3  # pictures an instruction, side by side

Progress = Callable[[str], None]
Table = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Shown:
    """What was measured of one adapter.

    Attributes:
        scenes, portraits: By instruction's task, how often each factor of the condition is found in the answer.
        grids: By condition, rows of pictures: one row an instruction.
    """

    scenes: Table
    portraits: Table
    grids: list[list[Tensor]]


def show_run(folder: Path, samples: int, progress: Progress) -> Path:
    """Write `report/index.html`, `report/instructions.png` and `report/taken.json` into a finished toy run.

    Args:
        folder: The run folder.
        samples: Conditions for each line of the tables.
        progress: Told what is being done.

    Raises:
        ConfigError: The run is not on the toy stack.
        CheckpointError: It has no checkpoint.
    """
    config = parse(OmegaConf.load(folder / "config.yaml"))  # type: ignore[arg-type]
    if config.base.resolution != 64 or config.base.name != "toy":
        raise ConfigError(f"{folder} was trained on base={config.base.name}; this report is for base=toy")
    checkpoint = resolve(folder)
    base = load_base(config.base, "cpu")
    encoder = OpenClipInstructionEncoder.from_config(config.base, "cpu")
    averaged = checkpoint.with_name("ema.safetensors")
    shown = {}
    for name, adapter in (
        ("before", build_adapter(config, read_dims(config.base), base)),
        ("after", load_adapter(averaged if averaged.exists() else checkpoint)),
    ):
        subject = Subject(base, adapter, encoder)
        shown[name] = _show(subject, config, samples, lambda what, name=name: progress(f"{name} training: {what}"))  # type: ignore[misc]
        subject.close()
    return _write(folder / "report", config, shown, _validation_losses(folder))


def wordings(config: TrainingRun, task: str, conditions: Scenes | Portraits) -> list[str]:
    """The fixed instruction of a task for every condition, objects called by their names."""
    template = config.instructions.fixed[task]
    if task != "object":
        return [template] * len(conditions)
    return [fill_slot(template, name) for name in object_names(conditions)]


def _show(subject: Subject, config: TrainingRun, samples: int, progress: Progress) -> Shown:
    oracles, tables = load_oracles(), []
    for portraits, tasks, factors in (
        (False, SCENE_TASKS, SCENE_FACTORS),
        (True, PORTRAIT_TASKS, PORTRAIT_FACTORS),
    ):
        asked = questions(portraits, samples)
        oracle = oracles["portraits" if portraits else "scenes"]
        table = {}
        for task in (task for task in tasks if task in config.tasks):
            progress(f"{task} on {oracle.kind}")
            pictures = subject.answer(
                asked.pixels(64), asked.prompts(), wordings(config, task, asked.conditions), Sampling()
            )
            table[task] = asked.shares(oracle.read(pictures), [name for name in factors if name in oracle.trusted])
        tables.append(table)
    progress("one image, five instructions")
    grids = [_grid(subject, config, row, portraits) for portraits in (False, True) for row in range(3)]
    return Shown(tables[0], tables[1], grids)


def _grid(subject: Subject, config: TrainingRun, row: int, portraits: bool) -> list[Tensor]:
    """A row of pictures for each task: the condition, then answers to the task's instruction with several seeds."""
    asked = questions(portraits, 16)
    chosen = Questions(asked.conditions[row : row + 1], asked.wanted[row : row + 1])
    condition = chosen.pixels(64)
    rows = []
    for task in config.tasks:
        pictures = subject.answer(
            condition.expand(_SEEDS, -1, -1, -1),
            chosen.prompts() * _SEEDS,
            wordings(config, task, chosen.conditions) * _SEEDS,
            Sampling(),
        )
        rows.append(torch.cat([condition, pictures]))
    return rows


def _validation_losses(folder: Path) -> dict[str, list[tuple[int, float]]]:
    curves: dict[str, list[tuple[int, float]]] = {}
    for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        point = json.loads(line)
        for key, value in point.items():
            if key.startswith("validation/loss/"):
                curves.setdefault(key.removeprefix("validation/loss/"), []).append((point["samples_seen"], value))
    return curves


def _write(
    folder: Path, config: TrainingRun, shown: dict[str, Shown], losses: dict[str, list[tuple[int, float]]]
) -> Path:
    taken = {name: {"scenes": one.scenes, "portraits": one.portraits} for name, one in shown.items()}
    write_json(folder / "taken.json", taken)
    grids = [
        _beside(config, before, after)
        for before, after in zip(shown["before"].grids, shown["after"].grids, strict=True)
    ]
    with atomic_path(folder / "instructions.png") as aside:
        _stacked(grids).save(aside, "PNG")
    html = render_page(
        "run.html.jinja",
        run=folder.parent.name,
        samples=config.train.steps * config.train.batch_size,
        tasks={task: config.instructions.fixed[task] for task in config.tasks},
        grids=[data_url(grid) for grid in grids],
        tables=_tables(taken),
        curve=data_url(_loss_curves(losses)),
    )
    write_text(folder / "index.html", html)
    return folder / "index.html"


def _beside(config: TrainingRun, before: list[Tensor], after: list[Tensor]) -> Image.Image:
    """Each row: the instruction, the condition, answers before training, answers after."""
    rows = [torch.cat([old, new[1:]]) for old, new in zip(before, after, strict=True)]
    figure = Figure(figsize=(10.5, 1.25 * len(rows)), layout="constrained")
    titles = ["condition", *["before"] * _SEEDS, *["after"] * _SEEDS]
    for y, (row, task) in enumerate(zip(rows, config.tasks, strict=True)):
        for x, picture in enumerate(row):
            axes = figure.add_subplot(len(rows), len(row) + 2, y * (len(row) + 2) + x + 3)
            axes.imshow(picture.permute(1, 2, 0).numpy(), interpolation="nearest")
            axes.set_axis_off()
            if y == 0:
                axes.set_title(titles[x], fontsize=9)
        label = figure.add_subplot(len(rows), len(row) + 2, (y * (len(row) + 2) + 1, y * (len(row) + 2) + 2))
        label.text(1, 0.5, config.instructions.fixed[task], ha="right", va="center", fontsize=9)
        label.set_axis_off()
    return _drawn(figure)


def _loss_curves(losses: dict[str, list[tuple[int, float]]]) -> Image.Image:
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    for task, points in losses.items():
        axes.plot([seen for seen, _ in points], [loss / points[0][1] for _, loss in points], label=task)
    axes.set(xlabel="samples", ylabel="validation loss / at the start")
    axes.legend()
    return _drawn(figure)


def _drawn(figure: Figure) -> Image.Image:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return Image.open(buffer).convert("RGB")


def _stacked(images: list[Image.Image]) -> Image.Image:
    result = Image.new("RGB", (max(image.width for image in images), sum(image.height for image in images)), "white")
    top = 0
    for image in images:
        result.paste(image, (0, top))
        top += image.height
    return result


def _tables(taken: dict[str, Any]) -> dict[str, list[tuple[str, list[tuple[str, float, float]]]]]:
    """By kind of picture: for each task its factors with the shares before and after."""
    return {
        kind: [
            (task, [(name, before[name], after) for name, after in row.items()])
            for (task, row), before in zip(taken["after"][kind].items(), taken["before"][kind].values(), strict=True)
        ]
        for kind in ("scenes", "portraits")
    }
