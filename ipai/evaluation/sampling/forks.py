"""Where processes on a CPU that draw come from."""

from ipai.launch.forking import start_forkserver


def prepare_forks() -> None:
    """Begin to import what they need; it goes on beside what this process does, such as the same imports."""
    start_forkserver("ipai.evaluation.sampling.generating")
