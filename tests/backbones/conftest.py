"""The miniature with random weights, built once a session away from the user's cache."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ipai.backbones.backbone import Backbone
from ipai.backbones.config import BaseConfig, WeightsRef, weights_of
from ipai.backbones.families import load_base
from ipai.backbones.micro import build_micro, micro_config


@pytest.fixture(scope="session")
def micro_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "micro-random"
    build_micro(folder)
    return folder


@pytest.fixture(scope="session")
def config_at() -> Callable[[Path], BaseConfig]:
    """The micro configuration with its parts in a folder."""

    def at(folder: Path) -> BaseConfig:
        refs = {part: WeightsRef(str(folder), subfolder=part) for part in weights_of(micro_config())}
        return replace(micro_config(), **refs)

    return at


@pytest.fixture(scope="session")
def config(micro_folder: Path, config_at: Callable[[Path], BaseConfig]) -> BaseConfig:
    return config_at(micro_folder)


@pytest.fixture(scope="session")
def base(config: BaseConfig) -> Backbone:
    return load_base(config, "cpu")


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
