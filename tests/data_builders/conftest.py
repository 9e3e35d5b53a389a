import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.building import ROOT
from tests.helpers.coco_source import write_coco_source
from tests.helpers.teacher_miniatures import write_teachers


@pytest.fixture(scope="session")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source of ten photographs that all pass; do not change it."""
    return write_coco_source(tmp_path_factory.mktemp("coco") / "source", images=10)


@pytest.fixture(scope="session")
def teachers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Teachers with random weights; do not change them."""
    return write_teachers(tmp_path_factory.mktemp("teachers") / "hub")


@pytest.fixture(scope="module")
def ray() -> Iterator[None]:
    """A Ray on this machine that says it has four CPUs, with this checkout on its workers' path."""
    ray = pytest.importorskip("ray")
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": {"PYTHONPATH": path}})
    yield
    ray.shutdown()
