"""What may lose the object store is done by all processes together, so that all stop at the same point.

A process that waited for a shard in vain could otherwise only crash, while the others wait for it in a collective and
none of them can save.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import torch

from ipai.errors import StoreError

_T = TypeVar("_T")


class CollectiveErrors:
    """Calls that raise StoreError in every process if they do in one.

    Args:
        remote: Whether the shards are in a store; if not, calls go straight through.
        patience_s: How long one process may try before it raises.
    """

    def __init__(self, remote: bool, patience_s: float) -> None:
        self.remote = remote
        several = remote and torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1
        # A group of its own: NCCL would wait for the GPU, and would take long patience for a hang.
        self._group: Any = (
            torch.distributed.new_group(backend="gloo", timeout=timedelta(seconds=2 * patience_s + 1800))
            if several
            else None
        )

    def __call__(self, action: Callable[[], _T]) -> _T:
        """Call `action` in every process; returns what it returned here, when it worked in all of them."""
        if self._group is None:
            return action()
        lost = result = None
        try:
            result = action()
        except StoreError as error:
            lost = error
        count = torch.tensor(int(lost is not None))
        torch.distributed.all_reduce(count, group=self._group)
        if count.item():
            reasons: list[str | None] = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(reasons, str(lost) if lost else None, group=self._group)
            raise StoreError(next(reason for reason in reasons if reason)) from lost
        return result  # type: ignore[return-value]
