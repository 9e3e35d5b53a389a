"""What holds for the whole suite."""

import os
import signal
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.helpers.slurm import cluster, refuse_without_slurm

# A shell's background jobs ignore Ctrl-C and hand that on, and then the tests of an interrupted command would fail.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: at the end, small tests keep several processes busy to the last second."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Slurm of this machine, which says it has at least four CPUs, for the time of a module's tests."""
    refuse_without_slurm()
    folder = tmp_path_factory.mktemp("slurm")
    folder.parent.chmod(0o755)
    with cluster(folder, cpus=max(4, os.cpu_count() or 1)):
        yield


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count the faults that were survived; a test that makes several of one kind records how many as `faults`."""
    counts: Counter[str] = Counter()
    for report in terminalreporter.stats.get("passed", []):
        if report.when == "call" and "faults" in report.keywords:
            name = report.nodeid.rpartition("::")[2].partition("[")[0].removeprefix("test_").replace("_", " ")
            counts[name] += dict(report.user_properties).get("faults", 1)
    if counts:
        terminalreporter.write_sep("=", f"{counts.total()} faults ended as they should")
        for name, count in counts.items():
            terminalreporter.write_line(f"{count:4}  {name}")
