from pathlib import Path

import pytest

from tests.data_builders.coco_source import write_coco_source


@pytest.fixture(scope="session")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source of ten photographs that all pass; do not change it."""
    return write_coco_source(tmp_path_factory.mktemp("coco") / "source", images=10)
