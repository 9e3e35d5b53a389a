import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import pytest

from ipai.config import LaunchConfig
from ipai.launch.processes import processes_wanted
from ipai.launch.signals import StopRequest, exit_code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_stop_signal_is_remembered_not_obeyed_at_once(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopRequest() as stop:
        os.kill(os.getpid(), number)
        assert stop.signal_number == number
    assert signal.getsignal(number) == before
    assert exit_code(number) == 128 + number


def test_a_second_signal_leaves_at_once_but_an_echo_of_the_first_does_not() -> None:
    with StopRequest() as stop:
        for _ in range(3):  # from Slurm or the terminal, and once more through the launcher
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signal_number == signal.SIGTERM
        time.sleep(1.1)
        with pytest.raises(SystemExit) as leaving:
            os.kill(os.getpid(), signal.SIGTERM)
    assert leaving.value.code == 143


def test_processes_wanted_are_as_configured() -> None:
    assert processes_wanted(LaunchConfig(processes=3)) == 3
    with mock.patch("torch.cuda.device_count", return_value=0):
        assert [processes_wanted(LaunchConfig(cpu_processes=count)) for count in (1, 2)] == [1, 2]
    with mock.patch("torch.cuda.device_count", return_value=4):
        assert processes_wanted(LaunchConfig(cpu_processes=2)) == 4


def launcher(tmp_path: Path, child: str, processes: int = 2, **environment: str) -> subprocess.Popen[bytes]:
    """Start `processes` processes of a script through the launcher, in a process of its own."""
    (tmp_path / "child.py").write_text("import os, signal, sys, time\nfrom pathlib import Path\n" + child)
    code = (
        "import sys; sys.argv[0] = 'child.py'\n"
        "from ipai.launch.processes import run_processes\n"
        f"sys.exit(run_processes([], {processes}, [sys.argv[0]]))"
    )
    inherited = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    return subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=inherited | environment)


def wait_for(tmp_path: Path, *names: str) -> None:
    deadline = time.monotonic() + 20
    while not all((tmp_path / name).exists() for name in names):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_each_process_knows_its_rank(tmp_path: Path) -> None:
    child = "Path(os.environ['RANK'] + 'of' + os.environ['WORLD_SIZE']).touch()"
    assert launcher(tmp_path, child, 3).wait(30) == 0
    assert {"0of3", "1of3", "2of3"} <= {path.name for path in tmp_path.iterdir()}


def threads_seen(tmp_path: Path, processes: int, **environment: str) -> list[str]:
    child = "Path('threads' + os.environ['RANK']).write_text(os.environ['OMP_NUM_THREADS'])"
    assert launcher(tmp_path, child, processes, **environment).wait(60) == 0
    return [path.read_text() for path in tmp_path.glob("threads*")]


def test_processes_share_the_cores(tmp_path: Path) -> None:
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    assert threads_seen(tmp_path, 2) == [str(max(1, cores // 2))] * 2


def test_a_number_of_threads_set_by_hand_stays(tmp_path: Path) -> None:
    assert threads_seen(tmp_path, 2, OMP_NUM_THREADS="3") == ["3", "3"]


def test_a_crash_ends_the_others_soon_with_its_code(tmp_path: Path) -> None:
    child = "sys.exit(7) if os.environ['RANK'] == '1' else time.sleep(600)"
    began = time.monotonic()
    assert launcher(tmp_path, child).wait(60) == 7
    assert time.monotonic() - began < 20


def test_a_signal_reaches_every_process_and_its_code_comes_back(tmp_path: Path) -> None:
    child = (
        "signal.signal(signal.SIGTERM, lambda *_: (Path('saved' + os.environ['RANK']).touch(), sys.exit(143)))\n"
        "Path('ready' + os.environ['RANK']).touch()\ntime.sleep(600)"
    )
    process = launcher(tmp_path, child)
    wait_for(tmp_path, "ready0", "ready1")
    process.terminate()
    assert process.wait(30) == 143
    assert (tmp_path / "saved0").exists()
    assert (tmp_path / "saved1").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="relies on prctl")
def test_killing_the_launcher_leaves_no_orphans(tmp_path: Path) -> None:
    process = launcher(tmp_path, "Path('pid' + os.environ['RANK']).write_text(str(os.getpid()))\ntime.sleep(600)")
    wait_for(tmp_path, "pid0", "pid1")
    time.sleep(0.2)
    pids = [int((tmp_path / name).read_text()) for name in ("pid0", "pid1")]
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_terminal_that_closes_is_a_stop_unless_it_is_ignored() -> None:
    previous = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever started the tests
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.signal_number == signal.SIGHUP
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.signal_number is None
    finally:
        signal.signal(signal.SIGHUP, previous)
