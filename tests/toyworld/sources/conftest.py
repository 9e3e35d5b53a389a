from pathlib import Path

import pytest

from ipai.toyworld.sources.config import SourcesConfig
from ipai.toyworld.sources.write import write_sources

SAMPLES, SIDE = 60, 64


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every source with `SAMPLES` pictures of `SIDE` px and seed 0; do not change it."""
    folder = tmp_path_factory.mktemp("toy") / "sources"
    for _ in write_sources(SourcesConfig(str(folder), SAMPLES, 0, SIDE)):
        pass
    return folder
