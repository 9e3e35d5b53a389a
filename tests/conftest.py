"""What holds for the whole suite."""

import os
import signal
from collections.abc import Iterator

import pytest

from tests.cluster.slurm import cluster, refuse_without_slurm

# A shell's background jobs ignore Ctrl-C and hand that on, and then the tests of an interrupted command would fail.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Slurm of this machine, which says it has at least four CPUs, for the time of a module's tests."""
    refuse_without_slurm()
    folder = tmp_path_factory.mktemp("slurm")
    folder.parent.chmod(0o755)
    with cluster(folder, cpus=max(4, os.cpu_count() or 1)):
        yield
