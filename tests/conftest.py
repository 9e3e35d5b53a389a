"""What holds for the whole suite."""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.helpers.slurm import cluster, refuse_without_slurm

# A shell's background jobs ignore Ctrl-C and hand that on, and then the tests of an interrupted command would fail.
signal.signal(signal.SIGINT, signal.default_int_handler)


MOST_PROCESSES = 4  # each starts a server of warm processes, and some tests have deadlines
OUT_OF_TIME = "not begun: out of time"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--until", type=float, metavar="SECONDS",
        help="begin no test after this time, in seconds since 1970; those left are skipped, counted and named",
    )  # fmt: skip


def pytest_xdist_auto_num_workers() -> int:
    """What `-n auto` means: a process for each core, as long as each has the memory in which some of them train."""
    gibibytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return max(1, min(os.cpu_count() or 1, int(gibibytes / 3.5), MOST_PROCESSES))


@pytest.hookimpl(tryfirst=True)  # before what the test needs is made
def pytest_runtest_setup(item: pytest.Item) -> None:
    until = item.config.getoption("--until")
    if until is not None and time.time() > until:
        pytest.skip(OUT_OF_TIME)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Trainings come first, then files with slow tests: small tests keep several processes busy to the last second."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.get_closest_marker("learning") is None, item.path not in slow))


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Slurm of this machine, which says it has at least four CPUs, for the time of a module's tests."""
    refuse_without_slurm()
    folder = tmp_path_factory.mktemp("slurm")
    folder.parent.chmod(0o755)
    with cluster(folder, cpus=max(4, os.cpu_count() or 1)):
        yield


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what there was no time for, and count the faults that were survived.

    A test that makes several faults of one kind records how many as `faults`.
    """
    late = [
        report.nodeid for report in terminalreporter.stats.get("skipped", []) if OUT_OF_TIME in str(report.longrepr)
    ]
    if late:
        terminalreporter.write_sep("=", f"{len(late)} tests {OUT_OF_TIME}")
        for name in late:
            terminalreporter.write_line(name)
    counts: Counter[str] = Counter()
    for report in terminalreporter.stats.get("passed", []):
        if report.when == "call" and "faults" in report.keywords:
            name = report.nodeid.rpartition("::")[2].partition("[")[0].removeprefix("test_").replace("_", " ")
            counts[name] += dict(report.user_properties).get("faults", 1)
    if counts:
        terminalreporter.write_sep("=", f"{counts.total()} faults ended as they should")
        for name, count in counts.items():
            terminalreporter.write_line(f"{count:4}  {name}")
