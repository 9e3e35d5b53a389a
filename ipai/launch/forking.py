"""Worker processes that one process forks which has imported what they need, once for all of them.

That process has run nothing of what it imported and has no threads in Python, so a fork finds no lock taken by them.
Workers that each import torch by themselves take seconds of a core and 280 MiB apiece.
"""

import multiprocessing
import os
import signal
import threading
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import wait

from ipai.launch.signals import STOP_SIGNALS


def start_forkserver(*modules: str) -> None:
    """Start the process that forks this one's workers, with the stop signals blocked; where it runs, do nothing.

    Slurm signals every process of a job. Were a training's workers to die of it, the last steps and the checkpoint of
    a run that was asked to stop would find no data. Others can `hear_signals`. All must `end_with_parent`: the process
    that forked them, whose end they would see by themselves, lives as long as they do.

    Workers have the environment of this start. What the modules import must not ask for a GPU: forked processes could
    not use it any more.

    Args:
        modules: Imported before the first fork.
    """
    forkserver.set_forkserver_preload(["__main__", *modules])
    resource_tracker.ensure_running()  # it would unblock the signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def hear_signals() -> None:
    """In a worker: let a stop signal end it."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def end_with_parent() -> None:
    """In a worker: end it when its parent is gone. A killed parent cannot tell it to, and it would stay."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
