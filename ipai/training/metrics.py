"""Training numbers that stay on the device until somebody asks for them: adding never waits for the device."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ipai.tasks import TASKS

BUCKETS = 10


@dataclass(frozen=True)
class Interval:
    """What `Accumulator.read` returns: the numbers since the last read, over all processes.

    Attributes:
        values: Metric name -> value.
        bad_step: The first step with a non-finite loss or gradient, or None.
        bad_slots: The slots of that step whose loss was non-finite; empty if only the gradient was.
    """

    values: dict[str, float]
    bad_step: int | None
    bad_slots: list[int]


class Accumulator:
    """Sums of the per-sample loss by task and by timestep, of the gradient norm, and the first non-finite step.

    Args:
        device: Where the sums live.
        batch_size: The global batch: one flag for each of its slots.
        num_train_timesteps: The length of the noise schedule; `BUCKETS` equal parts of it are named by their start.
    """

    def __init__(self, device: torch.device, batch_size: int, num_train_timesteps: int) -> None:
        self._timesteps = num_train_timesteps
        self._never = torch.iinfo(torch.int64).max
        self._by_task = torch.zeros(2, len(TASKS), device=device)
        self._by_bucket = torch.zeros(2, BUCKETS, device=device)
        self._contrast = torch.zeros(2, len(TASKS), device=device)
        self._gradient = torch.zeros(2, device=device)
        self._bad_step = torch.full((), self._never, dtype=torch.int64, device=device)
        self._bad_slots = torch.zeros(batch_size, dtype=torch.int64, device=device)

    def add_loss(self, step: int, slots: Tensor, error: Tensor, task_index: Tensor, level: Tensor) -> None:
        """Add one micro-batch; all tensors are [B] on the device.

        Args:
            step: Its number.
            slots: In the global batch.
            error: The unweighted squared error.
            task_index: See `ipai.tasks`.
            level: How much noise there was, from 0 to below 1.
        """
        error = error.detach()
        pair = torch.stack([error, torch.ones_like(error)])
        self._by_task.index_add_(1, task_index, pair)
        self._by_bucket.index_add_(1, (level * BUCKETS).long(), pair)
        bad = ~torch.isfinite(error)
        first = bad.any() & (self._bad_step >= step)
        self._bad_step = torch.where(first, step, self._bad_step)
        self._bad_slots.index_add_(0, slots, (bad & first).long())

    def add_contrast(self, contrast: Tensor, counted: Tensor, task_index: Tensor) -> None:
        """Add the instruction contrast of one micro-batch, [B]; `counted`, bool [B], says where there is one."""
        self._contrast.index_add_(1, task_index, torch.stack([contrast.detach(), counted.float()]))

    def add_gradient(self, step: int, norm: Tensor) -> None:
        """Add the gradient norm of a step, a scalar on the device, the same in every process."""
        norm = norm.detach()
        self._gradient += torch.stack([norm, torch.ones_like(norm)])
        self._bad_step = torch.where(~torch.isfinite(norm) & (self._bad_step > step), step, self._bad_step)

    def read(self) -> Interval:
        """Sum over the processes, move to the host (this waits for the device) and start anew."""
        if torch.distributed.is_initialized():
            self._sum_over_processes()
        values = self._values()
        bad_step = int(self._bad_step.item())
        bad_slots = self._bad_slots.nonzero().flatten().tolist()
        for tensor in (self._by_task, self._by_bucket, self._contrast, self._gradient, self._bad_slots):
            tensor.zero_()
        self._bad_step.fill_(self._never)
        return Interval(values, None if bad_step == self._never else bad_step, bad_slots)

    def _sum_over_processes(self) -> None:
        own = self._bad_step.clone()
        torch.distributed.all_reduce(self._bad_step, op=torch.distributed.ReduceOp.MIN)
        self._bad_slots *= own == self._bad_step  # a process that broke later only inherited the damage
        for tensor in (self._by_task, self._by_bucket, self._contrast, self._bad_slots):
            torch.distributed.all_reduce(tensor)

    def _values(self) -> dict[str, float]:
        total, count = self._by_task.sum(dim=1).tolist()
        values = {"loss/train": total / max(count, 1)}
        values |= _means("loss/task", dict(zip(TASKS, self._by_task.T.tolist(), strict=True)))
        values |= _means("loss/contrast", dict(zip(TASKS, self._contrast.T.tolist(), strict=True)))
        width = self._timesteps // BUCKETS
        names = [f"{index * width:04d}" for index in range(BUCKETS)]
        values |= _means("loss/timestep", dict(zip(names, self._by_bucket.T.tolist(), strict=True)))
        norm, steps = self._gradient.tolist()
        return values | {"optimizer/gradient_norm": norm / max(steps, 1)}


def _means(prefix: str, sums: dict[str, list[float]]) -> dict[str, float]:
    return {f"{prefix}/{name}": total / count for name, (total, count) in sums.items() if count}
