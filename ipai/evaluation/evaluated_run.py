"""What is evaluated: an adapter, the base it belongs to, the samples and wordings it is asked with."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from omegaconf import OmegaConf

from ipai.adapter.adapter import InstructAdapter
from ipai.backbones.config import BaseConfig
from ipai.backbones.families import family_of, load_base, read_dims
from ipai.config import TrainingRun, parse
from ipai.errors import CheckpointError, ConfigError
from ipai.evaluation.config import EDITOR, OF_A_RUN, EvaluationConfig
from ipai.evaluation.layout import FOLDER
from ipai.files import fingerprint
from ipai.instructions.pools import load_pool
from ipai.pipeline.adapter_place import CONFIG
from ipai.pipeline.sources import LoadedAdapter, base_for, load, locate_adapter
from ipai.records import read_yaml
from ipai.runs.run_folder import upgraded
from ipai.schema import plain
from ipai.tasks import TASKS
from ipai.training.assemble import build_adapter

_ALL = "all"  # in place of a condition


@dataclass(frozen=True)
class EvaluatedRun:
    """An adapter and what it is asked with.

    Attributes:
        adapter: In fp32 on the CPU.
        digest: SHA-256 of its tensors; of the settings of what draws where no adapter does.
        base: Where its frozen parts lie.
        run: Its run folder, if it has one.
        training: The run's frozen configuration.
        facts: What the adapter's file says of itself.
        tasks: What it is asked.
        shards: Folder of the data.
        filters: Task -> which samples are asked, see `ipai.data.sample_filter`; tasks that are not named ask all.
        wordings: "val", "train" or "fixed".
        templates: Task -> the instructions to draw from.
        output: Where the evaluation goes.
    """

    adapter: InstructAdapter
    digest: str
    base: BaseConfig
    run: Path | None
    training: TrainingRun | None
    facts: Mapping[str, str]
    tasks: tuple[str, ...]
    shards: Path
    filters: dict[str, str]
    wordings: str
    templates: dict[str, tuple[str, ...]]
    output: Path


def resolve(config: EvaluationConfig) -> EvaluatedRun:
    """Find and load what the settings name.

    Raises:
        IpaiError: The run, the checkpoint or the pools cannot be used, or a setting that only a run has is missing.
    """
    run = _run_of(config)
    training = None if run is None else read_run(run)
    base = config.base or (training.base if training is not None else None)
    if config.weights in OF_A_RUN and config.weights != EDITOR:
        assert training is not None  # `check` asks for run=
        loaded = LoadedAdapter(_first_adapter(training, config.weights), training.base, {"step": "0"})
    else:
        weights = "raw" if config.weights == "raw" else "ema"
        loaded = load(config.checkpoint or str(run), weights=weights, base=base)  # type: ignore[arg-type]
    root = config.data.root or (training.data.root if training is not None else None)
    if root is None:
        raise ConfigError("an adapter without its run does not say where held-out samples lie; give data.root=FOLDER")
    tasks = tuple(config.tasks or (training.tasks if training is not None else TASKS))
    wordings = _wordings(config, training)
    return EvaluatedRun(
        adapter=loaded.adapter,
        digest=_digest(loaded.adapter) if config.weights != EDITOR else _editor_digest(config),
        base=_in_precision(base or base_for(loaded, config.checkpoint), config.dtype),
        run=run,
        training=training,
        facts=loaded.facts if config.weights != EDITOR else {"step": "0"},
        tasks=tasks,
        shards=Path(root),
        filters=_filters(config, training, tasks),
        wordings=wordings,
        templates={task: _templates(task, wordings, training) for task in tasks},
        output=_output(config, run),
    )


def _in_precision(base: BaseConfig, dtype: str | None) -> BaseConfig:
    return base if dtype is None else replace(base, dtype=dtype)


def read_run(folder: Path) -> TrainingRun:
    """The frozen configuration of a run.

    Raises:
        CheckpointError: There is none, or it is damaged.
        ConfigError: It is not one of this version.
    """
    path = folder / CONFIG
    try:
        raw = OmegaConf.create(plain(upgraded(read_yaml(path))))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder} is no run folder: {path.name} is missing or damaged ({error})") from error
    return parse(raw)


def _run_of(config: EvaluationConfig) -> Path | None:
    """The run folder that was named, or the one that the checkpoint lies in."""
    if config.run is not None:
        return Path(config.run).expanduser()
    place = Path(config.checkpoint or "").expanduser().resolve()
    return next((folder for folder in (place, *place.parents[:3]) if (folder / "checkpoints").is_dir()), None)


def _first_adapter(training: TrainingRun, weights: str) -> InstructAdapter:
    """The adapter before the first step, or only what of it IPAdapter+ has, which hears no instruction."""
    needs_unet = training.base.adapter_init is None  # then the first values are taken from its attention
    base = load_base(training.base, "cpu", only=(family_of(training.base).denoising,) if needs_unet else ())
    first = build_adapter(training, read_dims(training.base), base)
    if weights == "start":
        return first
    plain = InstructAdapter(replace(first.spec, instruction="none", prompt_dim=None, mask_padding=False))
    state = first.state_dict()
    plain.load_state_dict({name: state[name] for name in plain.state_dict()})
    return plain


def _wordings(config: EvaluationConfig, training: TrainingRun | None) -> str:
    if config.instructions != "auto":
        return config.instructions
    return "fixed" if training is not None and training.instructions.source == "fixed" else "val"


def _filters(config: EvaluationConfig, training: TrainingRun | None, tasks: Sequence[str]) -> dict[str, str]:
    """As set, else the run's; `all` switches the run's off."""
    of_run = training.data.filter if training is not None else {}
    chosen = {task: config.data.filter.get(task) or of_run.get(task) for task in tasks}
    return {task: text for task, text in chosen.items() if text is not None and text != _ALL}


def _templates(task: str, wordings: str, training: TrainingRun | None) -> tuple[str, ...]:
    if wordings != "fixed":
        pools = training.instructions.pools if training is not None else None
        return load_pool(task, wordings, Path(pools) if pools else None)
    if training is None or task not in training.instructions.fixed:
        raise ConfigError(f"instructions=fixed needs the wording for {task}, which a run's instructions.fixed holds")
    return (training.instructions.fixed[task],)


def _output(config: EvaluationConfig, run: Path | None) -> Path:
    if config.output is not None:
        return Path(config.output).expanduser()
    place = None if config.checkpoint is None else locate_adapter(config.checkpoint)
    differing = [
        *([_checkpoint_name(place)] if place is not None and place != run else []),
        *([config.weights] if config.weights != "ema" else []),
        *([config.instructions] if config.instructions != "auto" else []),
        *(["filtered"] if any(config.data.filter.values()) else []),
    ]
    folder = run or Path.cwd()
    return folder / FOLDER / "-".join(differing) if differing else folder / FOLDER


def _checkpoint_name(place: Path) -> str:
    """`step-00000500` for a checkpoint of a run and the files in it, else the file's or folder's own name."""
    inside = place.is_file() and place.parent.name.startswith("step-")
    return place.parent.name if inside else place.stem


def _editor_digest(config: EvaluationConfig) -> str:
    """Of the editor's settings, and of its network where it lies in a folder, in which it may be replaced."""
    editor = config.instruct_pix2pix
    weights = sorted((Path(editor.id).expanduser() / "unet").glob("*.safetensors"))
    found = [repr(editor), *(fingerprint(path) for path in weights)]
    return hashlib.sha256("\n".join(found).encode()).hexdigest()


def _digest(adapter: InstructAdapter) -> str:
    digest = hashlib.sha256(repr(adapter.spec).encode())
    for name, tensor in sorted(adapter.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().to(torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()
