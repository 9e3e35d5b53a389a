"""Composes training configurations in tests as `train.py` does."""

from pathlib import Path

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import DictConfig

from ipai.config import TrainingRun, parse

CONF = Path(__file__).parents[2] / "conf"


def compose(*overrides: str) -> TrainingRun:
    """The checked configuration that `python train.py <overrides>` would run."""
    return parse(compose_raw(*overrides))


def compose_raw(*overrides: str) -> DictConfig:
    """What Hydra composes for it, unchecked."""
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        return hydra_compose("train", overrides=list(overrides))
