from pathlib import Path

import pytest

from tests.data_builders.coco_source import write_coco_source
from tests.data_builders.teachers.miniatures import write_teachers


@pytest.fixture(scope="session")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source of ten photographs that all pass; do not change it."""
    return write_coco_source(tmp_path_factory.mktemp("coco") / "source", images=10)


@pytest.fixture(scope="session")
def teachers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Teachers with random weights; do not change them."""
    return write_teachers(tmp_path_factory.mktemp("teachers") / "hub")
