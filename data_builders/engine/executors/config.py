"""Settings of the executors; conf/build/executor explains each."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass
class ExecutorConfig:
    """The pool: how many processes build shards.

    Attributes:
        name: pool, ray or slurm.
        workers: At once. None: as many as there are GPUs for what needs them, else CPU cores; 1: none but this process.
    """

    name: str = "pool"
    workers: int | None = None

    def problems(self) -> Iterator[str]:
        """Values that cannot work, one message each."""
        if self.workers is not None and self.workers < 1:
            yield f"executor.workers={self.workers} must be at least 1"


@dataclass
class RayExecutor(ExecutorConfig):
    """Actors on a Ray cluster; what they loaded stays loaded from shard to shard.

    Attributes:
        address: Of the cluster; None: $RAY_ADDRESS, else one that is started here for the time of the build.
        cpus, gpus: That an actor asks for. gpus=None: one where the builder needs it and the cluster has any.
        retries: How often a shard is begun again whose actor died.
    """

    address: str | None = None
    cpus: float = 1.0
    gpus: float | None = None
    retries: int = 3

    def problems(self) -> Iterator[str]:
        """As of every executor, and Ray's."""
        yield from super().problems()
        for key in ("cpus", "gpus", "retries"):
            if (getattr(self, key) or 0) < 0:
                yield f"executor.{key}={getattr(self, key)} must not be negative"


@dataclass(kw_only=True)
class SlurmExecutor(ExecutorConfig):
    """Job arrays on a Slurm cluster, through submitit; `workers` is how many of their jobs run at once.

    Attributes:
        folder: For scripts, logs and results of the jobs; every node must see it.
        partition, account: As `sbatch` takes them; None: the cluster's default.
        minutes: Time limit of a job. One that reaches it is put into the queue again.
        cpus, memory_gb, gpus: Of a job. gpus=None: one where the builder needs it.
        shards_per_job: A job that loads models should have a few.
        retries: How often a job is submitted again whose node was lost.
        poll_seconds: Between two looks at the queue.
    """

    folder: str
    partition: str | None = None
    account: str | None = None
    minutes: int = 240
    cpus: int = 4
    memory_gb: float | None = 16.0
    gpus: int | None = None
    shards_per_job: int = 4
    retries: int = 3
    poll_seconds: float = 10.0

    def problems(self) -> Iterator[str]:
        """As of every executor, and Slurm's."""
        yield from super().problems()
        for key in ("minutes", "cpus", "shards_per_job"):
            if getattr(self, key) < 1:
                yield f"executor.{key}={getattr(self, key)} must be at least 1"
        if self.retries < 0 or (self.gpus or 0) < 0 or self.poll_seconds <= 0:
            yield "executor.retries and executor.gpus must not be negative, and executor.poll_seconds must be above 0"
