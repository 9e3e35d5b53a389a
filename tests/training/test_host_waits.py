"""Between two log points the host never waits for the device: reading one number would empty a GPU's queue."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ipai.training.loop import Parts, Trainer

Assemble = Callable[..., Parts]

# What reads a tensor's values on the host: `.item()`, `bool(tensor)`, `float(tensor)`, `.tolist()` of one number; and
# what has to know them to say how large its result is.
_READS = ("aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::unique", "aten::_unique2")


class CountReads(TorchDispatchMode):
    """Counts operations that make the host wait for a device."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()
        self.all = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name
        self.all += 1
        if name in _READS:
            self.found[name] += 1
        return func(*args, **(kwargs or {}))


def stepping(parts: Parts, folder: Path, config: Any) -> Callable[[int], None]:
    trainer = Trainer(config, folder, parts, [])
    stream = parts.micro_batches(0)
    parts.speed.start(0)

    def steps(first: int) -> None:
        for step in (first, first + 1):
            trainer.train_step(step, stream)

    return steps


# Without the object task: an instruction with a name that was not met lately is encoded there and then, with one wait.
OVERRIDES = (
    "tasks=[copy,style,structure,face]", "train.steps=4", "objective.min_snr_gamma=5", "train.ema_half_life=1000",
    "train.micro_batch_size=2",
)  # fmt: skip


def test_no_step_reads_a_number_back(parts: Assemble, configure: Callable[..., Any], tmp_path: Path) -> None:
    steps = stepping(parts(*OVERRIDES), tmp_path, configure(*OVERRIDES))
    steps(0)  # the optimizer makes its state at the first
    with CountReads() as reads:
        steps(2)
    assert reads.all > 1000
    assert not reads.found


def test_a_number_that_is_read_back_is_counted() -> None:
    with CountReads() as reads:
        assert torch.ones(3).sum() > 2
        torch.ones(3).nonzero()
    assert reads.found == {"aten::_local_scalar_dense": 1, "aten::nonzero": 1}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_sees_no_wait_either(parts: Assemble, configure: Callable[..., Any], tmp_path: Path) -> None:
    steps = stepping(parts(*OVERRIDES), tmp_path, configure(*OVERRIDES))
    steps(0)
    torch.cuda.set_sync_debug_mode("error")
    try:
        steps(2)
    finally:
        torch.cuda.set_sync_debug_mode("default")
