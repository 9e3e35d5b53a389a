"""From settings to scores: what `scripts/evaluate.py` does."""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow
import pyarrow.parquet
import torch

from ipai.backbones.config import INSTRUCTION_ENCODER, TOY_BASES, weights_of
from ipai.backbones.loading import resolve_device, resolve_dtype, warn_of_slow
from ipai.clip.model import TOY, ClipModel, embedding_cache
from ipai.errors import CheckpointError
from ipai.evaluation.config import EDITOR, EvaluationConfig, check
from ipai.evaluation.evaluated_run import EvaluatedRun, resolve
from ipai.evaluation.layout import PARQUET, SCORES, TABLE
from ipai.evaluation.measures.likeness import Measured, PictureMeasure, described, fetch_weights, likenesses
from ipai.evaluation.measures.settings import JUDGE, LIKENESSES, VQA, VQA_COLUMNS
from ipai.evaluation.reporting.table import table
from ipai.evaluation.sampling.cross_task import Crossed, crossed_sources
from ipai.evaluation.sampling.editing import EditingGenerator
from ipai.evaluation.sampling.eval_samples import HeldOut
from ipai.evaluation.sampling.generating import BatchGenerator, draw_missing, prepare
from ipai.evaluation.sampling.image_shards import Part, parts_of
from ipai.evaluation.sampling.settings import sampling_of
from ipai.evaluation.scoring.oracle_tables import OracleQuestions, oracle_report, oracle_sources
from ipai.evaluation.scoring.scores import score_part
from ipai.evaluation.scoring.statistics import Row, summarise
from ipai.files import atomic_path, held_alone, sha256_of, write_json, write_text
from ipai.runs.run_folder import git_state
from ipai.toyworld.oracles import load_oracles

if TYPE_CHECKING:
    from ipai.evaluation.measures.questions import YesProbability

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
        evaluated: What was evaluated.
    """

    folder: Path
    scores: dict[str, Any]
    rows: list[Row]
    parts: list[Part]
    crossed: list[Part]
    evaluated: EvaluatedRun


def evaluate(config: EvaluationConfig, bar: Bar) -> Evaluated:
    """Draw what is not drawn yet, score all, and write scores.json, scores.parquet and table.md.

    Raises:
        IpaiError: Settings, weights, samples or pictures cannot be used, or another process evaluates into this folder.
    """
    check(config)
    prepare(processes(config), config.device)
    evaluated = resolve(config)
    if config.weights != EDITOR:
        warn_of_slow(evaluated.base.dtype, resolve_device(config.device))
    folder = evaluated.output
    of_judge = _judge(config, folder)
    _fetch(config)
    held_out, oracles, crossed = _sources(config, evaluated)
    folder.mkdir(parents=True, exist_ok=True)
    with held_alone(folder, CheckpointError(f"another process evaluates into {folder}; wait for it or give output=")):
        artist = _artist(config, evaluated)
        images = folder / f"images-{_fingerprint(config, evaluated, artist)}"
        size = -(-config.part_size // config.seeds_per_sample) * config.seeds_per_sample  # a sample stays together
        parts, asked, side_by_side = (parts_of(images, kind, size) for kind in (held_out, oracles, crossed))
        everything = [*parts, *asked, *side_by_side]
        with bar("drawing", sum(len(part.questions) for part in everything)) as progress:
            draw_missing(everything, processes(config), progress, artist, config.device)
        clip, measures, asking = _clip(config, evaluated), _encoders(config) | of_judge, _questions(config)
        with bar("scoring", sum(len(part.questions) for part in parts)) as progress:
            rows = [row for part in parts for row in score_part(part, part.source, clip, measures, asking, progress)]  # type: ignore[arg-type]
        scores = _facts(config, evaluated, clip) | {
            **({"measures": _described(config, measures, asking)} if measures or asking else {}),
            "tasks": {task: {name: asdict(mean) for name, mean in of.items()} for task, of in summarise(rows).items()},
            "oracles": oracle_report(asked, load_oracles()) if asked else None,
        }
        _write_rows(folder / PARQUET, rows)
        write_text(folder / TABLE, table(scores))
        write_json(folder / SCORES, scores)
        _remove_older(images)
    return Evaluated(folder, scores, rows, parts, side_by_side, evaluated)


def _sources(
    config: EvaluationConfig, evaluated: EvaluatedRun
) -> tuple[list[HeldOut], list[OracleQuestions], list[Crossed]]:
    """What is drawn: the held-out samples, what the oracles look at, and rows of one condition under all tasks."""
    held_out = [
        HeldOut(
            evaluated.shards,
            task,
            evaluated.templates[task],
            config.limit,
            config.seed,
            config.seeds_per_sample,
            evaluated.filters.get(task),
        )
        for task in evaluated.tasks
    ]
    in_toy_world = evaluated.base.name in TOY_BASES and config.oracles > 0
    oracles = oracle_sources(evaluated.tasks, evaluated.templates, config.oracles, config.seed) if in_toy_world else []
    return held_out, oracles, crossed_sources(held_out, evaluated.templates, config.crossed, config.seed)


def processes(config: EvaluationConfig) -> int:
    """As set, else one for each GPU that may be used, else as set for a CPU."""
    if config.processes is not None:
        return config.processes
    if resolve_device(config.device).type == "cpu":
        return config.cpu_processes
    return max(torch.cuda.device_count(), 1)


def _artist(config: EvaluationConfig, evaluated: EvaluatedRun) -> "partial[Any]":
    common: dict[str, Any] = {
        "sampling": {task: sampling_of(config, evaluated, task) for task in evaluated.tasks},
        "scheduler": config.scheduler,
        "batch_size": config.batch_size,
    }
    if config.weights == EDITOR:
        return partial(EditingGenerator, editor=config.instruct_pix2pix, **common)
    return partial(BatchGenerator, base=evaluated.base, adapter=evaluated.adapter, **common)


def _fingerprint(config: EvaluationConfig, evaluated: EvaluatedRun, artist: "partial[Any]") -> str:
    """Names everything that the pictures depend on: others are not taken for ours."""
    decides = {
        "adapter": evaluated.digest,
        "base": asdict(evaluated.base),
        "samples": {
            path.name: sha256_of(path) for task in evaluated.tasks for path in _validation_shards(evaluated, task)
        },
        "templates": evaluated.templates,
        "sampling": {task: asdict(sampling) for task, sampling in artist.keywords["sampling"].items()},
        "cuda": torch.cuda.is_available() and config.device != "cpu",
        "versions": {name: version(name) for name in _LIBRARIES},
        **({"filters": evaluated.filters} if evaluated.filters else {}),
    }
    decides |= {
        key: getattr(config, key)
        for key in ("limit", "oracles", "crossed", "seed", "seeds_per_sample", "scheduler", "batch_size", "part_size")
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]


def _validation_shards(evaluated: EvaluatedRun, task: str) -> list[Path]:
    return sorted((evaluated.shards / task).glob("val-*.tar"))


def _clip(config: EvaluationConfig, evaluated: EvaluatedRun) -> ClipModel:
    name, pretrained = config.clip.model, config.clip.pretrained
    if name == "auto":
        # The miniature with random weights is for trying the commands: nothing should be downloaded for it.
        name = TOY if evaluated.base.name in TOY_BASES or evaluated.base.random_weights else "ViT-L-14"
    return ClipModel(name, pretrained, _device(config), config.clip.batch_size, embedding_cache())


def _device(config: EvaluationConfig) -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() and config.device != "cpu" else "cpu")


def _encoders(config: EvaluationConfig) -> dict[str, PictureMeasure]:
    names = [name for name in config.measures if name in LIKENESSES]
    return likenesses(names, config.measure_weights, _device(config), config.clip.batch_size, embedding_cache())


def _questions(config: EvaluationConfig) -> "YesProbability | None":
    """The model that answers questions, if it is asked for; it takes seconds to import."""
    if VQA not in config.measures:
        return None
    from ipai.evaluation.measures.questions import YesProbability

    return YesProbability(config.measure_weights.vqa, _device(config), embedding_cache())


def _fetch(config: EvaluationConfig) -> None:
    """Have the files of the measures' weights here before an hour of drawing; they are loaded after it, for the memory.

    Raises:
        WeightsError: One is neither here nor to be had.
    """
    fetch_weights([name for name in config.measures if name in LIKENESSES], config.measure_weights)
    if VQA in config.measures:
        from ipai.evaluation.measures.questions import fetched

        fetched(config.measure_weights.vqa)


def _judge(config: EvaluationConfig, folder: Path) -> dict[str, Measured]:
    """The judge's columns, if it is asked for; its library, which nobody else needs, is imported only then."""
    if JUDGE not in config.measures:
        return {}
    from ipai.evaluation.measures.judge import Judge, judged

    return dict(judged(Judge(config.judge, str(folder.resolve()))))


def _described(
    config: EvaluationConfig, measures: dict[str, Measured], asking: "YesProbability | None"
) -> dict[str, dict[str, str]]:
    encoders: dict[str, Any] = {name: measure for name, measure in measures.items() if name in LIKENESSES}
    others = {name: measure.described() for name, measure in measures.items() if name not in encoders}  # type: ignore[attr-defined]
    if asking is not None:
        others |= dict.fromkeys(VQA_COLUMNS, asking.described(config.measure_weights.vqa))
    return described(encoders, config.measure_weights) | others


def _editor(config: EvaluationConfig) -> dict[str, str]:
    """What drew, where no adapter did; a folder of this machine would go into reports."""
    if config.weights != EDITOR:
        return {}
    editor = config.instruct_pix2pix
    name = Path(editor.id).name if Path(editor.id).expanduser().exists() else editor.id
    scales = f"guidance {editor.guidance_scale:g}, image guidance {editor.image_guidance_scale:g}"
    return {EDITOR: f"{name} ({editor.wording!r}, {scales})"}


def _facts(config: EvaluationConfig, evaluated: EvaluatedRun, clip: ClipModel) -> dict[str, Any]:
    """What the numbers depend on, without anything that changes from one evaluation to the next."""
    training = evaluated.training
    parts = {part: str(ref) for part, ref in weights_of(evaluated.base).items() if part != INSTRUCTION_ENCODER}
    sampling = {task: asdict(sampling_of(config, evaluated, task)) for task in evaluated.tasks}
    return {
        "format": FORMAT,
        "run": None if evaluated.run is None else evaluated.run.resolve().name,
        "experiment": None if training is None else training.names.experiment,
        "recipe": None if training is None else training.names.recipe,
        "weights": config.weights,
        "adapter_sha256": evaluated.digest,
        "step": int(evaluated.facts.get("step", 0)),
        "samples_seen": int(evaluated.facts.get("samples_seen", 0)),
        "models": {"clip": clip.identity, **parts, **_editor(config)},
        "base": evaluated.base.name,
        "random_weights": evaluated.base.random_weights,
        "settings": {
            "limit": config.limit,
            "seed": config.seed,
            "seeds_per_sample": config.seeds_per_sample,
            "instructions": evaluated.wordings,
            "scheduler": config.scheduler,
            "batch_size": config.batch_size,
            "dtype": _precision(config, evaluated),
            "sampling": sampling,
            **({"filters": evaluated.filters} if evaluated.filters else {}),
        },
        "versions": {name: version(name) for name in _LIBRARIES},
        "git": git_state(Path(__file__).parents[2]),
    }


def _precision(config: EvaluationConfig, evaluated: EvaluatedRun) -> str:
    """Of what draws, as torch calls it."""
    dtype = resolve_dtype("auto" if config.weights == EDITOR else evaluated.base.dtype, resolve_device(config.device))
    return str(dtype).removeprefix("torch.")


def _write_rows(path: Path, rows: Sequence[Row]) -> None:
    with atomic_path(path) as aside:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), aside)


def _remove_older(images: Path) -> None:
    """Pictures of an earlier adapter or other settings, of which no score is left."""
    for other in images.parent.glob("images-*"):
        if other != images:
            shutil.rmtree(other)
