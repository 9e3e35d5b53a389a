"""A real Slurm cluster of this one machine, where Debian's slurm-wlm and munge are installed and we may start them."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
_BINARIES = ("slurmctld", "slurmd", "sbatch", "munged")
_CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={controller}
SlurmdPort={node}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobRequeue=1
ReturnToService=2
SchedulerParameters=sched_interval=1
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def refuse_without_slurm() -> None:
    """Skip a test where there is no Slurm or we may not start it."""
    pytest.importorskip("submitit")
    if os.geteuid() or any(shutil.which(name) is None for name in _BINARIES):
        pytest.skip("needs slurm-wlm and munge, and the right to start them")


@contextmanager
def cluster(folder: Path, cpus: int) -> Iterator[None]:
    """Start munged, slurmctld and slurmd in `folder`, wait until a node is idle, and stop them in the end.

    Args:
        folder: For keys, sockets, logs and state.
        cpus: What the node says it has; it may be more than the machine's.
    """
    for name in ("state", "spool"):
        (folder / name).mkdir()
    host = subprocess.run(["hostname", "-s"], capture_output=True, text=True, check=True).stdout.strip()
    controller, node = _free_ports()
    conf = _CONF.format(host=host, folder=folder, cpus=cpus, controller=controller, node=node)
    if cpus > (os.cpu_count() or 1):
        conf += "SlurmdParameters=config_overrides\n"
    (folder / "slurm.conf").write_text(conf)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    before = {name: os.environ.get(name) for name in ("SLURM_CONF", "PYTHONPATH")}
    os.environ |= {"SLURM_CONF": str(folder / "slurm.conf"), "PYTHONPATH": str(REPOSITORY)}
    munge = ["munged", "--force", "--foreground", f"--key-file={key}", f"--socket={folder}/munge.socket"]
    munge += [f"--{name}-file={folder}/munge.{name}" for name in ("pid", "log", "seed")]
    daemons = [subprocess.Popen(munge, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)]
    try:
        time.sleep(1)
        for name in ("slurmctld", "slurmd"):
            daemons.append(subprocess.Popen([name, "-D"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        _wait_until_idle(folder)
        yield
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait(timeout=30)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def _wait_until_idle(folder: Path) -> None:
    for _ in range(60):
        state = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True, check=False).stdout
        if "idle" in state:
            return
        time.sleep(0.5)
    pytest.skip(f"the Slurm of this machine does not start: {(folder / 'slurmctld.log').read_text()[-500:]}")
