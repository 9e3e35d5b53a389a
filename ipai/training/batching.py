"""How the global batch is cut between processes and accumulation steps; the cut changes no sample."""

from dataclasses import dataclass

from accelerate import Accelerator

from ipai.config import TrainConfig, batch_problem
from ipai.errors import ConfigError


@dataclass(frozen=True)
class Batching:
    """Global batch = processes x micro_batch_size x accumulation; `rank` is this process's number."""

    rank: int
    processes: int
    micro_batch_size: int
    accumulation: int

    @classmethod
    def of(cls, config: TrainConfig, accelerator: Accelerator) -> "Batching":
        """The cut for this process.

        Raises:
            ConfigError: The processes and micro-batches do not divide the batch; says which numbers fit.
        """
        processes = accelerator.num_processes
        fixed = config.fixed_micro_batch
        if config.batch_size % (processes * (fixed or 1)):
            raise ConfigError(batch_problem(config.batch_size, processes, fixed or 1))
        share = config.batch_size // processes
        micro = fixed or share
        return cls(accelerator.process_index, processes, micro, share // micro)

    def __str__(self) -> str:
        batch = self.processes * self.micro_batch_size * self.accumulation
        return (
            f"batch {batch} = {self.processes} processes x {self.micro_batch_size} x {self.accumulation} accumulation"
        )
