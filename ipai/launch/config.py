"""Where a run's processes start; conf/launch explains each key. Imports nothing slow."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ipai.schema import above, at_least, one_of


@dataclass
class LaunchConfig:
    """Processes on this machine, or a Slurm job.

    Attributes:
        name: local or slurm.
        processes: On each machine. None: one for each GPU (slurm: `gpus_per_node`), or one on a CPU.
        cpu_processes: Takes the place of that one on a CPU of this machine.
        nodes, gpus_per_node, cpus_per_process, memory_gb, minutes, partition, account: Of the job, as `sbatch` takes
            them; None: the cluster's default.
        grace_seconds: How long before the time limit the run saves itself and goes back into the queue.
        retries: How often a run that crashed is queued again without having got further.
        setup: Shell lines that run first on the job's first node, such as `module load cuda`.
        sbatch: Further options of `sbatch`, such as `{qos: high, constraint: h100}`.
    """

    name: str = field(default="local", metadata=one_of("local", "slurm"))
    processes: int | None = field(default=None, metadata=above(0))
    cpu_processes: int = field(default=1, metadata=above(0))
    nodes: int = field(default=1, metadata=above(0))
    gpus_per_node: int | None = field(default=1, metadata=above(0))
    cpus_per_process: int | None = field(default=8, metadata=above(0))
    memory_gb: float | None = field(default=None, metadata=above(0))
    minutes: int = field(default=1440, metadata=above(0))
    partition: str | None = None
    account: str | None = None
    grace_seconds: int = field(default=300, metadata=above(0))
    retries: int = field(default=3, metadata=at_least(0))
    setup: list[str] = field(default_factory=list)
    sbatch: dict[str, Any] = field(default_factory=dict)

    @property
    def processes_per_node(self) -> int | None:
        """`processes`, else on Slurm `gpus_per_node` or one; None: to be found out on this machine."""
        if self.processes is None and self.name == "slurm":
            return self.gpus_per_node or 1
        return self.processes

    def problems(self) -> Iterator[str]:
        """Values that cannot work, one message each."""
        if self.name == "slurm" and self.cpu_processes > 1:
            yield f"launch.cpu_processes={self.cpu_processes} is for this machine; on Slurm say launch.processes"
        if self.grace_seconds >= 60 * self.minutes:
            yield f"launch.grace_seconds={self.grace_seconds} leaves nothing of launch.minutes={self.minutes}"
