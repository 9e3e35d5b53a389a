"""What holds for the whole suite."""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from ipai.launch.processes import usable_cores
from tests.helpers.slurm import cluster, refuse_without_slurm

# A shell's background jobs ignore Ctrl-C and hand that on, and then the tests of an interrupted command would fail.
signal.signal(signal.SIGINT, signal.default_int_handler)


# How long an example takes says how busy the machine is.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")

MOST_PROCESSES = 4  # each starts a server of warm processes, and some tests have deadlines
OUT_OF_TIME = "not begun: out of time"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--until", type=float, metavar="SECONDS",
        help="begin no test after this time, in seconds since 1970; those left are skipped, counted and named",
    )  # fmt: skip


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """What `-n auto` means: a process for each core, as long as each has the memory in which some of them train."""
    if wanted := os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS"):
        return int(wanted)
    return max(1, min(usable_cores(), int(_memory() / 3.5 / 2**30), MOST_PROCESSES))


def _memory() -> int:
    """Bytes that this machine has, or the container that we are in."""
    there, limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), Path("/sys/fs/cgroup/memory.max")
    allowed = limit.read_text().strip() if limit.is_file() else "max"
    return min(there, int(allowed)) if allowed.isdigit() else there


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A run that came too late for every test is no success."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and _late(reporter) and not reporter.stats.get("passed"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _late(reporter: pytest.TerminalReporter) -> list[str]:
    return [report.nodeid for report in reporter.stats.get("skipped", []) if OUT_OF_TIME in str(report.longrepr)]


@pytest.hookimpl(tryfirst=True)  # before what the test needs is made
def pytest_runtest_setup(item: pytest.Item) -> None:
    until = item.config.getoption("--until")
    if until is not None and time.time() > until:
        pytest.skip(OUT_OF_TIME)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lessons come first, then files with slow tests: small tests keep several processes busy to the last second."""
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
    if late := _late(terminalreporter):
        terminalreporter.write_sep("=", f"tests {OUT_OF_TIME}: {len(late)}")
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
