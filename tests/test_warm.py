"""What is forked must be what `python SCRIPT WORDS` is, seen from inside and from outside."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers.warm import WarmProcess, WarmServer

pytestmark = pytest.mark.slow

TELLING = """
import json, os, signal, sys, threading
print(json.dumps({
    "arguments": sys.argv, "import path": sys.path[0], "folder": os.getcwd(), "name": __name__, "file": __file__,
    "main thread": threading.current_thread() is threading.main_thread(),
    "variable": os.environ.get("A_VARIABLE"), "open files": len(os.listdir("/proc/self/fd")),
    "signals": {number: str(signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)},
}))
print("loudly", file=sys.stderr)
"""


@pytest.fixture(scope="module")
def server() -> WarmServer:
    return WarmServer(os.environ)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return tmp_path / "script.py"


def environment() -> dict[str, str]:
    return os.environ | {"A_VARIABLE": "its value"}


def warm(server: WarmServer, script: Path, *words: str) -> WarmProcess:
    return server.start([script.name, *words], script.parent, environment())


def cold(script: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, script.name, *words], cwd=script.parent, env=environment(),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip


def test_a_script_finds_the_same_world(server: WarmServer, script: Path) -> None:
    script.write_text(TELLING)
    output, _ = warm(server, script, "a word", "b=2").communicate(120)
    assert output.splitlines()[-1] == "loudly"
    told, expected = (
        json.loads(output.splitlines()[0]),
        json.loads(cold(script, "a word", "b=2").stdout.splitlines()[0]),
    )
    assert told.pop("open files") < expected.pop("open files") + 5
    assert told == expected


@pytest.mark.parametrize(
    "ending", ["", "import sys; sys.exit(3)", "raise KeyError('lost')", "import os; os.kill(os.getpid(), 9)"]
)
def test_it_ends_the_same_way(server: WarmServer, script: Path, ending: str) -> None:
    script.write_text(f"import atexit\natexit.register(print, 'goodbye')\n{ending}\n")
    process = warm(server, script)
    output, _ = process.communicate(120)
    expected = cold(script)
    assert process.returncode == expected.returncode
    assert output.splitlines()[-1:] == expected.stdout.splitlines()[-1:]


def test_it_is_signalled_and_waited_for(server: WarmServer, script: Path) -> None:
    script.write_text("import time; print('here', flush=True); time.sleep(60)")
    process = warm(server, script)
    assert process.poll() is None
    for waiting in (process.communicate, process.wait):
        with pytest.raises(subprocess.TimeoutExpired):
            waiting(0.2)
    begun = time.monotonic()
    process.kill()
    assert process.wait(30) == -signal.SIGKILL
    process.communicate(30)
    assert process.returncode == -signal.SIGKILL
    assert time.monotonic() - begun < 20
    process.send_signal(signal.SIGKILL)  # of nobody: it has ended


def test_two_run_beside_each_other(server: WarmServer, script: Path) -> None:
    script.write_text("import sys, time; time.sleep(float(sys.argv[1])); print(sys.argv[1])")
    slow, fast = (warm(server, script, word) for word in ("1.0", "0.1"))
    assert fast.communicate(60) == ("0.1\n", None)
    assert slow.communicate(60) == ("1.0\n", None)


def test_what_imports_read_must_be_the_servers(server: WarmServer) -> None:
    assert server.fits(os.environ | {"WANDB_SILENT": "true"})
    assert not server.fits(os.environ | {"OMP_NUM_THREADS": "7"})
    assert not server.fits(os.environ | {"PYTHONPATH": "elsewhere"})
