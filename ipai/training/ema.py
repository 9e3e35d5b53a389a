"""An exponential moving average of the adapter whose half-life is counted in samples."""

from collections.abc import Mapping

import torch
from torch import Tensor

# The average never looks further back than this share of the run so far, so that it forgets its start
# (Karras et al., arXiv 2312.02696, their EMA warm-up).
RAMP = 0.05


class MovingAverage:
    """fp32 average of a set of named tensors.

    Args:
        tensors: The live parameters; the average starts as a copy of them.
        half_life: Samples after which a value has lost half its weight.
    """

    def __init__(self, tensors: Mapping[str, Tensor], half_life: int) -> None:
        self.half_life = half_life
        self._live = tensors
        self.tensors = {name: tensor.detach().clone().float() for name, tensor in tensors.items()}

    @torch.no_grad()
    def update(self, batch_size: int, samples_seen: int) -> None:
        """Move towards the live parameters after a step that ended at `samples_seen` samples."""
        half_life = min(self.half_life, max(samples_seen * RAMP, 1e-8))
        weight = 1 - 0.5 ** (batch_size / half_life)
        torch._foreach_lerp_(list(self.tensors.values()), [t.detach() for t in self._live.values()], weight)

    @torch.no_grad()
    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take over stored values; names and shapes must be those of the live parameters."""
        for name, tensor in self.tensors.items():
            tensor.copy_(tensors[name])
