"""Settings of the executors; conf/build/executor explains each."""

from dataclasses import dataclass, field

from ipai.schema import above, at_least


@dataclass
class ExecutorConfig:
    """The pool: how many processes build shards.

    Attributes:
        name: pool, ray or slurm.
        workers: At once. None: as many as there are GPUs for what needs them, else CPU cores; 1: none but this process.
    """

    name: str = "pool"
    workers: int | None = field(default=None, metadata=above(0))


@dataclass
class RayExecutor(ExecutorConfig):
    """Actors on a Ray cluster; what they loaded stays loaded from shard to shard.

    Attributes:
        address: Of the cluster; None: $RAY_ADDRESS, else one that is started here for the time of the build.
        cpus, gpus: That an actor asks for. gpus=None: one where the builder needs it and the cluster has any.
        retries: How often a shard is begun again whose actor died.
    """

    address: str | None = None
    cpus: float = field(default=1.0, metadata=at_least(0))
    gpus: float | None = field(default=None, metadata=at_least(0))
    retries: int = field(default=3, metadata=at_least(0))


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
    minutes: int = field(default=240, metadata=above(0))
    cpus: int = field(default=4, metadata=above(0))
    memory_gb: float | None = field(default=16.0, metadata=above(0))
    gpus: int | None = field(default=None, metadata=at_least(0))
    shards_per_job: int = field(default=4, metadata=above(0))
    retries: int = field(default=3, metadata=at_least(0))
    poll_seconds: float = field(default=10.0, metadata=above(0))
