"""One process for each GPU of a machine, as `torchrun` would start them, but with signals and exit codes passed on.

torchrun's agent answers SIGTERM by killing its workers after 30 s and exits with 1, so a scheduler could not tell a
checkpointed stop from a crash.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import FrameType

from ipai.launch.config import LaunchConfig
from ipai.launch.signals import STOP_SIGNALS, exit_code

_PR_SET_PDEATHSIG = 1
_SAVE_GRACE_S = 120.0
_CRASH_GRACE_S = 5.0


def inside_launcher() -> bool:
    """Whether this process is already one of several, started by us, torchrun or `accelerate launch`."""
    return "RANK" in os.environ


def processes_wanted(config: LaunchConfig) -> int:
    """`launch.processes`, else one for each visible GPU, else one on a Mac's GPU, else `launch.cpu_processes`."""
    if config.processes_per_node is not None:
        return config.processes_per_node
    import torch

    return torch.cuda.device_count() or (1 if torch.backends.mps.is_available() else config.cpu_processes)


@dataclass(frozen=True)
class Meeting:
    """Where the processes of all machines find each other, and which of the machines this one is."""

    address: str
    port: int
    node: int = 0
    nodes: int = 1

    @classmethod
    def here(cls) -> "Meeting":
        """On this machine alone, at a free port."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return cls("127.0.0.1", probe.getsockname()[1])


def run_processes(arguments: list[str], processes: int, program: Sequence[str], meeting: Meeting | None = None) -> int:
    """Run a program in `processes` processes; returns the exit code of the first that failed, else 0.

    A signal to this process goes on to all of them. If one crashes, the others, which would wait for it in a
    collective for ever, are killed after 5 s; if it left because of a stop signal they get 120 s to do the same.
    Unless OMP_NUM_THREADS is set they share the cores: each with a thread a core would only wait for the others.

    Args:
        arguments: The overrides.
        processes: How many on this machine; all machines of a meeting have as many.
        program: What Python runs: a script, or `-m` and a module.
        meeting: With other machines; by default this one is alone.
    """
    meeting = meeting or Meeting.here()
    common = {
        "WORLD_SIZE": processes * meeting.nodes,
        "LOCAL_WORLD_SIZE": processes,
        "MASTER_ADDR": meeting.address,
        "MASTER_PORT": meeting.port,
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or max(1, usable_cores() // processes),
    }
    children = []
    for rank in range(processes):
        own = {**common, "RANK": meeting.node * processes + rank, "LOCAL_RANK": rank}
        environment = os.environ | {key: str(value) for key, value in own.items()}
        command = [sys.executable, *program, *arguments]
        children.append(subprocess.Popen(command, env=environment, preexec_fn=die_with_parent))

    def forward(number: int, _frame: FrameType | None) -> None:
        for child in children:
            child.send_signal(number)

    heard = [number for number in STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, forward) for number in heard}
    try:
        return _wait(children)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _wait(children: list[subprocess.Popen[bytes]]) -> int:
    while True:
        codes = [child.poll() for child in children]
        failed = [code for code in codes if code]
        if failed:
            first = failed[0] if failed[0] > 0 else exit_code(-failed[0])
            stopping = first in [exit_code(number) for number in STOP_SIGNALS]
            _stop(children, _SAVE_GRACE_S if stopping else _CRASH_GRACE_S)
            return first
        if all(code == 0 for code in codes):
            return 0
        time.sleep(0.2)


def _stop(children: list[subprocess.Popen[bytes]], grace_s: float) -> None:
    deadline = time.monotonic() + grace_s
    while time.monotonic() < deadline and any(child.poll() is None for child in children):
        time.sleep(0.2)
    for child in children:
        child.kill()
        child.wait()


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies, so that `kill -9` of what started it leaves no orphans."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
