"""Where an adapter comes from: a run folder, a checkpoint, an exported folder, the hub, or a file of ours or others."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from omegaconf import OmegaConf

from ipai.adapter.adapter import InstructAdapter
from ipai.adapter.formats import load_adapter, read_metadata
from ipai.backbones.config import BaseConfig, WeightsFile, upgraded_base
from ipai.backbones.hub import resolve_file
from ipai.backbones.shipped import shipped_adapter
from ipai.errors import CheckpointError, ConfigError, WeightsError
from ipai.pipeline.adapter_place import CONFIG, problem_of
from ipai.records import read_yaml
from ipai.runs.checkpoint import ADAPTER, EMA, resolve
from ipai.schema import plain, typed

Weights = Literal["ema", "raw"]


@dataclass(frozen=True)
class LoadedAdapter:
    """An adapter and what its source says of it.

    Attributes:
        adapter: In float32 on the CPU.
        base: Where its encoders lie; None if the source, such as a file, does not say.
        facts: The metadata of its file; empty for files of other projects.
    """

    adapter: InstructAdapter
    base: BaseConfig | None
    facts: Mapping[str, str]


def load(
    source: Path | str, *, weights: Weights = "ema", base: BaseConfig | None = None, revision: str | None = None
) -> LoadedAdapter:
    """Read an adapter from a run folder, a checkpoint, an exported folder, an adapter file, or the hub.

    Args:
        source: A path, the hub id of an exported folder, or `builtin:toy` or `builtin:toy_prx`, which come along.
        weights: See `adapter_file`.
        base: Where the encoders lie; None asks the folder, if it is one that says so.
        revision: Commit, tag or branch on the hub.

    Raises:
        ConfigError: `weights` is another word.
        CheckpointError: A folder holds no checkpoint, or does not say which base its adapter belongs to.
        WeightsError: There is nothing there, or the file is damaged, incomplete or made for another model.
    """
    place = locate_adapter(source, revision)
    path = adapter_file(place, weights)
    base = base_of_run(place) if base is None and place.is_dir() else base
    return LoadedAdapter(load_adapter(path), base, read_metadata(path))


def locate_adapter(source: Path | str, revision: str | None = None) -> Path:
    """The local path of `source`; what is no path is fetched from the hub.

    Raises:
        WeightsError: It is neither there nor to be had.
    """
    name, path = str(source), Path(source).expanduser()
    if (shipped := shipped_adapter(name)) is not None:
        return shipped
    if path.exists():
        return path
    if problem := problem_of(source):
        raise WeightsError(problem)
    try:
        files = [resolve_file(WeightsFile(name, file, revision)) for file in (CONFIG, ADAPTER)]
    except WeightsError as error:
        raise WeightsError(f"there is no folder {source} here, and as a hub id it fails too: {error}") from error
    return files[0].parent


def adapter_file(source: Path, weights: Weights = "ema") -> Path:
    """The file that is read of a run folder (its newest checkpoint), a checkpoint folder or a file.

    Args:
        source: Folder or file.
        weights: `ema` takes a checkpoint's moving average if there is one, `raw` the trained weights.

    Raises:
        ConfigError: `weights` is another word.
        CheckpointError: The folder holds no checkpoint.
    """
    if weights not in ("ema", "raw"):
        raise ConfigError(f"weights={weights} is none of ema, raw")
    path = resolve(source)
    average = path.with_name(EMA)
    return average if weights == "ema" and source.is_dir() and path.name == ADAPTER and average.is_file() else path


def base_of_run(folder: Path) -> BaseConfig:
    """The base in the frozen configuration of a run folder.

    Raises:
        CheckpointError: The configuration is missing or damaged.
    """
    path = folder / CONFIG
    try:
        saved = plain(read_yaml(path)["base"])
        if not isinstance(saved, dict):
            raise TypeError("its base is no mapping")
        base: BaseConfig = typed(OmegaConf.create(upgraded_base(saved)), BaseConfig)
    except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
        raise CheckpointError(f"{path} does not say which base the adapter belongs to ({error}); give base=") from error
    return base


def base_for(loaded: LoadedAdapter, source: object) -> BaseConfig:
    """The base of a loaded adapter.

    Raises:
        ConfigError: It does not say.
    """
    if loaded.base is None:
        raise ConfigError(f"{source} is a file and does not say which base it belongs to; give base=sd15 or base=toy")
    return loaded.base
