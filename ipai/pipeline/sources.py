"""Where an adapter comes from: a run folder, a checkpoint, or a file of ours or of others."""

from pathlib import Path
from typing import Literal

import yaml
from omegaconf import OmegaConf

from ipai.adapter.adapter import InstructAdapter
from ipai.adapter.formats import load_adapter
from ipai.base.config import BaseConfig
from ipai.config import typed
from ipai.errors import CheckpointError, ConfigError
from ipai.training.checkpoint import ADAPTER, EMA, resolve

Weights = Literal["ema", "raw"]


def read_adapter(source: Path, weights: Weights = "ema") -> InstructAdapter:
    """Read the adapter of a run folder (its newest checkpoint), a checkpoint folder or a file.

    Args:
        source: Folder or file.
        weights: `ema` takes a checkpoint's moving average if there is one, `raw` the trained weights.

    Raises:
        ConfigError: `weights` is another word.
        CheckpointError: The folder holds no checkpoint.
        WeightsError: The file is damaged, incomplete or made for another model; the message says what it is.
    """
    if weights not in ("ema", "raw"):
        raise ConfigError(f"weights={weights} is none of ema, raw")
    path = resolve(source)
    average = path.with_name(EMA)
    chosen = average if weights == "ema" and source.is_dir() and path.name == ADAPTER and average.is_file() else path
    return load_adapter(chosen)


def base_of_run(folder: Path) -> BaseConfig:
    """The base in the frozen configuration of a run folder.

    Raises:
        CheckpointError: The configuration is missing or damaged.
    """
    path = folder / "config.yaml"
    try:
        base: BaseConfig = typed(OmegaConf.create(yaml.safe_load(path.read_text(encoding="utf-8"))["base"]), BaseConfig)
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise CheckpointError(f"{path} does not say which base the adapter belongs to; give base=") from error
    return base
