"""Composes training configurations in tests as `train.py` does."""

from pathlib import Path

from hydra import compose as hydra_compose
from hydra import initialize_config_dir

from ipai.config import TrainingRun, parse

CONF = Path(__file__).parents[1] / "conf"


def compose(*overrides: str) -> TrainingRun:
    """The checked configuration that `python train.py <overrides>` would run."""
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        return parse(hydra_compose("train", overrides=list(overrides)))
