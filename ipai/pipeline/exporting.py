"""A folder for the Hugging Face hub out of a run: weights, configuration, model card."""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from ipai.adapter.formats import save_adapter
from ipai.backbones.config import TOY_BASES, BaseConfig, weights_of
from ipai.backbones.families import family_of
from ipai.backbones.loading import TORCH_DTYPES
from ipai.errors import ConfigError
from ipai.files import sync, write_text
from ipai.pages import render_page
from ipai.pipeline.adapter_place import CONFIG
from ipai.pipeline.export_settings import ExportConfig, check
from ipai.pipeline.sources import LoadedAdapter, adapter_file, base_for, load
from ipai.records import read_yaml
from ipai.runs.checkpoint import ADAPTER
from ipai.runs.data_sets import read_data_sets

_TABLE = Path("evaluation/table.md")
_KEPT = ("names", "tasks", "base", "adapter", "instructions", "train")
"""What of a run's configuration goes out: the rest are folders of the machine that trained."""

TERMS: dict[str, str] = {
    "copy": "JourneyDB: non-commercial, no redistribution, not even of derived data",
    "style": "midjourney-images: the rights in the style images are unclear",
    "object": "COCO 2017: annotations CC BY 4.0, photographs as each one's licence says",
    "structure": "CommonCatalog: as each photograph's licence says",
    "face": "CelebA: non-commercial research, real people",
}
"""Terms of what each task of the paper's recipe is trained on, for the model card."""


def export(config: ExportConfig) -> Path:
    """Write the folder, whole or not at all.

    Raises:
        ConfigError: A setting cannot work, or the output folder exists.
        IpaiError: The run's adapter cannot be used.
    """
    run, output = Path(config.checkpoint).expanduser(), Path(config.output).expanduser()
    check(config)
    loaded = load(run, weights=config.weights, base=config.base)  # type: ignore[arg-type]
    base = base_for(loaded, run)
    _refuse_local_base(base)
    frozen = read_yaml(run / CONFIG)
    output.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=output.parent, prefix=f".{output.name}."))
    try:
        facts = {**loaded.facts, "weights": adapter_file(run, config.weights).stem, "dtype": config.dtype}  # type: ignore[arg-type]
        save_adapter(loaded.adapter, aside / ADAPTER, _without_folders(facts), TORCH_DTYPES[config.dtype], config.names)  # type: ignore[arg-type]
        kept = {key: _without_folders(frozen[key]) for key in _KEPT if key in frozen} | {"base": asdict(base)}
        write_text(aside / CONFIG, yaml.safe_dump(kept, sort_keys=False, allow_unicode=True))
        samples = _copy_samples(config, run, aside)
        write_text(aside / "README.md", _card(config, loaded, base, kept, run, samples))
        for path in aside.iterdir():
            sync(path)
        aside.chmod(0o755)
        aside.replace(output)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return output


def _refuse_local_base(base: BaseConfig) -> None:
    """Raise a ConfigError if a part of the base lies in a folder that nobody else has."""
    refs = {part: ref.id for part, ref in weights_of(base).items()}
    local = [
        f"base.{part}.id={id_}" for part, id_ in refs.items() if id_[0] in "/.~" or Path(id_).expanduser().exists()
    ]
    if local:
        raise ConfigError(
            f"the run's base lies on this machine, where no reader of the export finds it: {', '.join(local)}; "
            "give base=sd15, or the ids that it has on the hub"
        )


def _without_folders(settings: Any) -> Any:
    """Absolute paths, such as that of the run it went on from, by their last name: the rest is of this machine."""
    if isinstance(settings, dict):
        return {key: _without_folders(value) for key, value in settings.items()}
    if isinstance(settings, str) and settings.startswith(("/", "~")):
        return Path(settings).name
    return settings


def _copy_samples(config: ExportConfig, run: Path, aside: Path) -> str | None:
    """The sample grid: the one that was named, else the run's report's, else none."""
    found = [Path(config.samples)] if config.samples else [run / "report" / "instructions.png"]
    if not found[0].is_file():
        return None
    name = f"samples{found[0].suffix.lower()}"
    shutil.copyfile(found[0], aside / name)
    return name


def _card(
    config: ExportConfig,
    loaded: LoadedAdapter,
    base: BaseConfig,
    kept: Mapping[str, Any],
    run: Path,
    samples: str | None,
) -> str:
    scores = run / _TABLE
    toy = kept["base"]["name"] in TOY_BASES
    terms = {} if toy else {task: TERMS.get(task, "not recorded") for task in kept["tasks"]} | dict(config.data_terms)
    family = family_of(base)
    base_model = getattr(base, family.denoising).id
    return render_page(
        "model_card.md.jinja",
        name=config.name or Path(config.output).name,
        licence=config.licence,
        base_model=None if base_model.startswith(("builtin:", "/", ".", "~")) else base_model,
        kept=kept,
        data_sets=read_data_sets(run),
        samples_seen=loaded.facts.get("samples_seen"),
        weights=adapter_file(run, config.weights).stem,  # type: ignore[arg-type]
        dtype=config.dtype,
        parameters=sum(parameter.numel() for parameter in loaded.adapter.parameters()),
        terms=terms,
        scores=scores.read_text(encoding="utf-8") if scores.is_file() else None,
        samples=samples,
        names=config.names,
        toy=toy,
        random=kept["base"]["random_weights"],
        base_kind=family.called,
        base_terms=family.terms,
    )
