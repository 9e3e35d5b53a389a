"""Several machines, played by several launchers on loopback: the same adapter, and an end when one of them dies."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers.faults import descendants, until_path
from tests.integration.conftest import REPOSITORY, environment, fingerprint, train, training_command
from tests.integration.test_interruptions import assert_close

pytestmark = pytest.mark.faults

_NODE = """
import sys
from ipai.launch.processes import Meeting, run_processes
sys.exit(run_processes({words!r}, 2, ["train.py"], Meeting("127.0.0.1", {port}, {node}, 2)))
"""
_STOP_SECONDS = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def begin(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, cwd=REPOSITORY, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def two_nodes(words: list[str]) -> list[subprocess.Popen[str]]:
    """Two ranks on each of two "nodes", started as a Slurm job starts them."""
    port = free_port()
    return [begin([sys.executable, "-c", _NODE.format(words=words[1:], port=port, node=node)]) for node in range(2)]


def torchruns(words: list[str]) -> list[subprocess.Popen[str]]:
    """Two ranks below each of two torchrun agents."""
    agent = [
        sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=2", "--rdzv-backend=c10d",
        f"--rdzv-endpoint=localhost:{free_port()}", "--rdzv-id=test", "--local-addr=localhost",
    ]  # fmt: skip
    return [begin([*agent, *words]) for _ in range(2)]


def finish(nodes: list[subprocess.Popen[str]]) -> None:
    for node in nodes:
        output, _ = node.communicate(timeout=400)
        assert node.returncode == 0, output


@pytest.mark.parametrize("launcher", [two_nodes, torchruns])
def test_four_ranks_on_two_nodes_equal_one(launcher: object, shards: Path, undisturbed: Path, tmp_path: Path) -> None:
    assert callable(launcher)
    finish(launcher(training_command(shards, tmp_path / "run")))
    assert_close(tmp_path / "run" / "checkpoints" / "step-00000024", undisturbed)


def test_a_killed_rank_ends_both_nodes_soon_and_the_relaunch_is_equal_to_the_bit(shards: Path, tmp_path: Path) -> None:
    words = training_command(shards, tmp_path / "run", "checkpoint.every=4")
    nodes = two_nodes(words)
    until_path(tmp_path / "run" / "checkpoints" / "latest", nodes[0])
    subprocess.run(["kill", "-9", str(descendants(nodes[1].pid)[0])], check=True)
    began = time.monotonic()
    codes = []
    for node in nodes:
        node.communicate(timeout=_STOP_SECONDS)
        codes.append(node.returncode)
    assert codes[1] == 128 + signal.SIGKILL
    assert codes[0] not in (0, 2)  # a crash, which a Slurm job answers with another start
    assert time.monotonic() - began < _STOP_SECONDS
    finish(two_nodes(words))
    whole = tmp_path / "whole"
    finish(two_nodes(training_command(shards, whole, "checkpoint.every=4")))
    final = Path("checkpoints") / "step-00000024"
    assert fingerprint(tmp_path / "run" / final) == fingerprint(whole / final)


def test_another_number_of_ranks_goes_on_where_two_nodes_stopped(
    shards: Path, undisturbed: Path, tmp_path: Path
) -> None:
    nodes = two_nodes(training_command(shards, tmp_path / "run", "checkpoint.signal_check_every=1"))
    until_path(tmp_path / "run" / "checkpoints" / "latest", nodes[0])
    for node in nodes:
        node.send_signal(signal.SIGUSR2)
    for node in nodes:
        output, _ = node.communicate(timeout=_STOP_SECONDS)
        assert node.returncode in (0, 128 + signal.SIGUSR2), output
    assert_close(train(shards, tmp_path / "run"), undisturbed)
