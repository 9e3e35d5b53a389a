"""The project's commands in processes forked from one that has imported torch and diffusers already.

Half of a short training is imports. A forked process leaves those out and is otherwise what `python SCRIPT WORDS` is: a
process of its own, with its own signals, that ends as an interpreter ends. `python -m tests.helpers.warm` is the one
they come from; each pytest process starts its own when it first needs it.
"""

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import types
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
_MAX_MESSAGE = 1_000_000
_READ_AT_IMPORT = ("CUDA", "HF_", "LD_", "MKL_", "OMP_", "PYTHON", "TMP", "TORCH", "TRANSFORMERS")


class WarmProcess:
    """A running command, with the part of `subprocess.Popen` that tests use; stdout and stderr are kept together.

    Attributes:
        pid: Of the command's process.
        returncode: None until it has ended; minus the signal's number if one ended it.
    """

    def __init__(self, server: socket.socket, words: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> None:
        """Have the server fork, and wait until the command's process is there."""
        self.returncode: int | None = None
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115  it is read when the command has ended
        self._news, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        order = {"words": list(words), "cwd": str(cwd), "environment": dict(environment)}
        socket.send_fds(server, [json.dumps(order).encode()], [self._output.fileno(), theirs.fileno()])
        theirs.close()
        self.pid: int = self._hear(180)["pid"]

    def poll(self) -> int | None:
        """The exit code if the command has ended."""
        return self._wait(0)

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        """What the command printed, once it has ended.

        Raises:
            subprocess.TimeoutExpired: It has not.
        """
        self.wait(timeout)
        self._output.seek(0)
        return self._output.read(), None

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once the command has ended; raises subprocess.TimeoutExpired if it has not."""
        if self._wait(timeout) is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def kill(self) -> None:
        """End the command at once."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask the command to end."""
        self.send_signal(signal.SIGTERM)

    def send_signal(self, number: int) -> None:
        """Signal the command if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def _wait(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            try:
                self.returncode = self._hear(timeout)["returncode"]
            except (TimeoutError, BlockingIOError):
                return None
        return self.returncode

    def _hear(self, timeout: float | None) -> dict[str, int]:
        self._news.settimeout(timeout)
        message = self._news.recv(_MAX_MESSAGE)
        assert message, "the server that forks the commands has died"
        return json.loads(message)  # type: ignore[no-any-return]


Running = subprocess.Popen[str] | WarmProcess
"""A command that was started, cold or warm."""


class WarmServer:
    """The process that commands are forked from, as its clients see it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Start it with an environment; the first command waits until it has imported everything."""
        self._read = _read_at_import(environment)
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        words = [sys.executable, "-m", "tests.helpers.warm", str(theirs.fileno())]
        subprocess.Popen(words, cwd=REPOSITORY, env=environment, pass_fds=[theirs.fileno()])
        theirs.close()

    def fits(self, environment: Mapping[str, str]) -> bool:
        """Whether a command in this environment may start here: the variables read at imports must be the server's."""
        return _read_at_import(environment) == self._read

    def start(self, words: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> WarmProcess:
        """Start `python WORDS`."""
        return WarmProcess(self._ours, words, cwd, environment)


def _read_at_import(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_READ_AT_IMPORT)}


def _serve(orders: socket.socket) -> None:
    """Fork for each order until the client is gone; returns only in the forked processes, ready to be the command."""
    running: dict[int, socket.socket] = {}
    wake_up, ring = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(ring)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    with selectors.DefaultSelector() as selector:
        selector.register(orders, selectors.EVENT_READ)
        selector.register(wake_up, selectors.EVENT_READ)
        while True:
            selected = [key.fileobj for key, _ in selector.select()]
            if wake_up in selected:
                os.read(wake_up, 1000)
                _report_ended(running)
            if orders in selected:
                message, fds, _, _ = socket.recv_fds(orders, _MAX_MESSAGE, 2)
                if not message:
                    os._exit(0)
                news = socket.socket(fileno=fds[1])
                pid = os.fork()
                if pid == 0:
                    break
                os.close(fds[0])
                running[pid] = news
                news.send(json.dumps({"pid": pid}).encode())
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for held in [orders, news, *running.values()]:
        held.close()
    os.close(wake_up)
    os.close(ring)
    _become(json.loads(message), fds[0])


def _report_ended(running: dict[int, socket.socket]) -> None:
    for pid in list(running):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            news = running.pop(pid)
            with suppress(BrokenPipeError):  # nobody waits for this one any more
                news.send(json.dumps({"returncode": os.waitstatus_to_exitcode(status)}).encode())
            news.close()


def _become(order: dict[str, Any], output: int) -> None:
    """Be `python WORDS`: its output, folder, environment, arguments and import path."""
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = order["words"]
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)


def _run(script: Path) -> None:
    module = types.ModuleType("__main__")
    module.__file__ = str(script)
    sys.modules["__main__"] = module
    exec(compile(script.read_bytes(), script, "exec"), vars(module))  # runpy would change the first argument


def _import_what_is_slow() -> None:
    import ipai.evaluation.evaluating
    import ipai.training.run  # noqa: F401


if __name__ == "__main__":
    _import_what_is_slow()
    _serve(socket.socket(fileno=int(sys.argv[1])))
    _run(Path(sys.argv[0]).resolve())
