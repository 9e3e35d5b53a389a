"""From settings to scores: what `scripts/evaluate.py` does."""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import torch

from ipai.backbones.config import INSTRUCTION_ENCODER, weights_of
from ipai.errors import CheckpointError
from ipai.evaluation.clip_model import TOY, ClipModel, embedding_cache
from ipai.evaluation.config import EvaluationConfig, check
from ipai.evaluation.crossed import Crossed, crossed_sources
from ipai.evaluation.drawing import draw_missing
from ipai.evaluation.layout import PARQUET, SCORES, TABLE
from ipai.evaluation.means import Row, summarise
from ipai.evaluation.oracle_tables import OracleQuestions, oracle_report, oracle_sources
from ipai.evaluation.parts import Part, parts_of
from ipai.evaluation.questions import HeldOut
from ipai.evaluation.sampling import sampling_of
from ipai.evaluation.scores import score_part
from ipai.evaluation.subject import Subject, resolve
from ipai.evaluation.table import table
from ipai.files import atomic_path, held_alone, sha256_of, write_json, write_text
from ipai.toyworld.oracles import load_oracles
from ipai.training.run_folder import git_state

FORMAT = 1
_LIBRARIES = ("ipai", "torch", "diffusers", "transformers", "open_clip_torch", "numpy", "pillow")

Bar = Callable[[str, int], AbstractContextManager[Callable[[int], object]]]
"""From what is done and how many pictures it takes to a progress bar, as a context that counts."""


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation left.

    Attributes:
        folder: Where it lies.
        scores: The content of scores.json.
        rows: A row for each picture.
        parts: The pictures of the held-out samples.
        crossed: Those of the same conditions under the instructions of every task.
        subject: What was evaluated.
    """

    folder: Path
    scores: dict[str, Any]
    rows: list[Row]
    parts: list[Part]
    crossed: list[Part]
    subject: Subject


def evaluate(config: EvaluationConfig, bar: Bar) -> Evaluated:
    """Draw what is not drawn yet, score all, and write scores.json, scores.parquet and table.md.

    Raises:
        IpaiError: Settings, weights, samples or pictures cannot be used, or another process evaluates into this folder.
    """
    check(config)
    subject = resolve(config)
    folder = subject.output
    held_out, oracles, crossed = _sources(config, subject)
    folder.mkdir(parents=True, exist_ok=True)
    with held_alone(folder, CheckpointError(f"another process evaluates into {folder}; wait for it or give output=")):
        artist = _artist(config, subject)
        images = folder / f"images-{_fingerprint(config, subject, artist)}"
        size = -(-config.part_size // config.seeds_per_sample) * config.seeds_per_sample  # a sample stays together
        parts, asked, side_by_side = (parts_of(images, kind, size) for kind in (held_out, oracles, crossed))
        everything = [*parts, *asked, *side_by_side]
        with bar("drawing", sum(len(part.questions) for part in everything)) as progress:
            draw_missing(everything, processes(config), progress, **artist)
        clip = _clip(config, subject)
        with bar("scoring", sum(len(part.questions) for part in parts)) as progress:
            rows = [row for part in parts for row in score_part(part, part.source, clip, progress)]  # type: ignore[arg-type]
        scores = _facts(config, subject, clip) | {
            "tasks": {task: {name: asdict(mean) for name, mean in of.items()} for task, of in summarise(rows).items()},
            "oracles": oracle_report(asked, load_oracles()) if asked else None,
        }
        _write_rows(folder / PARQUET, rows)
        write_text(folder / TABLE, table(scores))
        write_json(folder / SCORES, scores)
        _remove_older(images)
    return Evaluated(folder, scores, rows, parts, side_by_side, subject)


def _sources(config: EvaluationConfig, subject: Subject) -> tuple[list[HeldOut], list[OracleQuestions], list[Crossed]]:
    """What is drawn: the held-out samples, what the oracles look at, and rows of one condition under all tasks."""
    held_out = [
        HeldOut(subject.shards, task, subject.templates[task], config.limit, config.seed, config.seeds_per_sample)
        for task in subject.tasks
    ]
    in_toy_world = subject.base.name == TOY and config.oracles > 0
    oracles = oracle_sources(subject.tasks, subject.templates, config.oracles, config.seed) if in_toy_world else []
    return held_out, oracles, crossed_sources(held_out, subject.templates, config.crossed, config.seed)


def processes(config: EvaluationConfig) -> int:
    """As set, else one for each visible GPU."""
    return config.processes or max(torch.cuda.device_count() if config.device != "cpu" else 1, 1)


def _artist(config: EvaluationConfig, subject: Subject) -> dict[str, Any]:
    return {
        "base": subject.base,
        "adapter": subject.adapter,
        "sampling": {task: sampling_of(config, subject, task) for task in subject.tasks},
        "scheduler": config.scheduler,
        "batch_size": config.batch_size,
        "device": config.device,
    }


def _fingerprint(config: EvaluationConfig, subject: Subject, artist: dict[str, Any]) -> str:
    """Names everything that the pictures depend on: others are not taken for ours."""
    decides = {
        "adapter": subject.digest,
        "base": asdict(subject.base),
        "samples": {path.name: sha256_of(path) for task in subject.tasks for path in _validation_shards(subject, task)},
        "templates": subject.templates,
        "sampling": {task: asdict(sampling) for task, sampling in artist["sampling"].items()},
        "cuda": torch.cuda.is_available() and config.device != "cpu",
        "versions": {name: version(name) for name in _LIBRARIES},
    }
    decides |= {
        key: getattr(config, key)
        for key in ("limit", "oracles", "crossed", "seed", "seeds_per_sample", "scheduler", "batch_size", "part_size")
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]


def _validation_shards(subject: Subject, task: str) -> list[Path]:
    return sorted((subject.shards / task).glob("val-*.tar"))


def _clip(config: EvaluationConfig, subject: Subject) -> ClipModel:
    name, pretrained = config.clip.model, config.clip.pretrained
    if name == "auto":
        # The miniature with random weights is for trying the commands: nothing should be downloaded for it.
        name = TOY if subject.base.name == TOY or subject.base.random_weights else "ViT-L-14"
    device = "cuda" if torch.cuda.is_available() and config.device != "cpu" else "cpu"
    return ClipModel(name, pretrained, device, config.clip.batch_size, embedding_cache())


def _facts(config: EvaluationConfig, subject: Subject, clip: ClipModel) -> dict[str, Any]:
    """What the numbers depend on, without anything that changes from one evaluation to the next."""
    training = subject.training
    parts = {part: str(ref) for part, ref in weights_of(subject.base).items() if part != INSTRUCTION_ENCODER}
    sampling = {task: asdict(sampling_of(config, subject, task)) for task in subject.tasks}
    return {
        "format": FORMAT,
        "run": None if subject.run is None else subject.run.resolve().name,
        "experiment": None if training is None else training.names.experiment,
        "recipe": None if training is None else training.names.recipe,
        "weights": config.weights,
        "adapter_sha256": subject.digest,
        "step": int(subject.facts.get("step", 0)),
        "samples_seen": int(subject.facts.get("samples_seen", 0)),
        "models": {"clip": clip.identity, **parts},
        "base": subject.base.name,
        "random_weights": subject.base.random_weights,
        "settings": {
            "limit": config.limit,
            "seed": config.seed,
            "seeds_per_sample": config.seeds_per_sample,
            "instructions": subject.wordings,
            "scheduler": config.scheduler,
            "batch_size": config.batch_size,
            "sampling": sampling,
        },
        "versions": {name: version(name) for name in _LIBRARIES},
        "git": git_state(Path(__file__).parents[2]),
    }


def _write_rows(path: Path, rows: Sequence[Row]) -> None:
    with atomic_path(path) as aside:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), aside)


def _remove_older(images: Path) -> None:
    """Pictures of an earlier adapter or other settings, of which no score is left."""
    for other in images.parent.glob("images-*"):
        if other != images:
            shutil.rmtree(other)
