"""The largest micro-batch that fits a GPU: `train.micro_batch_size=auto`."""

import logging

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from ipai.backbones.families import find_networks
from ipai.backbones.loading import resolve_dtype
from ipai.conditioning import measures_open_clip, spec_of
from ipai.config import TrainingRun
from ipai.errors import ConfigError
from ipai.training.memory import Needs, StepMemory, traced

log = logging.getLogger(__name__)

CONTEXT = 1 << 30  # bytes that CUDA and its libraries hold; 0.5 to 1 GiB
SHARE = 0.9  # of the rest: what fragmentation leaves of it


def largest(of_one: StepMemory, of_two: StepMemory, memory: int, share: int) -> int:
    """The largest divisor of a process's share of the batch that fits; 0 if not even one sample does.

    Args:
        of_one: What a step on one sample needs.
        of_two: On two; what each further one adds follows.
        memory: Bytes of the device.
        share: Samples of a step that a process computes.
    """
    each = max(of_two.step - of_one.step, 1)
    room = SHARE * (memory - CONTEXT) - of_one.total
    fitting = 1 + int(room // each) if room >= 0 else 0
    return max((count for count in range(1, share + 1) if share % count == 0 and count <= fitting), default=0)


def fitting(config: TrainingRun, accelerator: Accelerator) -> int:
    """The largest micro-batch for the GPUs of this run, the smallest of them deciding.

    Raises:
        ConfigError: There is no GPU, or not even one sample fits.
    """
    if accelerator.device.type != "cuda":
        raise ConfigError("train.micro_batch_size=auto asks a GPU for its memory, and there is none; give a number")
    found = find_networks(config.base, instructions=measures_open_clip(config.adapter))
    spec = spec_of(config.adapter, config.base, found.dims)
    memory, _ = torch.cuda.mem_get_info(accelerator.device)  # what others hold is not ours to take
    dtype = resolve_dtype(config.base.dtype, accelerator.device)
    share = config.train.batch_size // accelerator.num_processes
    needs = traced(config, found, spec)
    count = fitting_in(needs, dtype, memory, share)
    if torch.distributed.is_initialized():
        count = min(gather_object([count]))
    if not count:
        raise ConfigError(too_small(needs(dtype, 1, share > 1), memory))
    log.info("train.micro_batch_size=auto: %d, by the memory of the GPU and a trace of the step", count)
    return count


def fitting_in(needs: Needs, dtype: torch.dtype, memory: int, share: int) -> int:
    """The largest micro-batch for a device with so many bytes, gradients of earlier ones kept; see `largest`."""
    one, two = (needs(dtype, count, True) for count in (1, 2))
    count = largest(one, two, memory, share)
    # The peak is that of another phase for some sizes, and then it does not grow as from one to two.
    while count > 1 and needs(dtype, count, True).total > SHARE * (memory - CONTEXT):
        count = max(smaller for smaller in range(1, count) if share % smaller == 0)
    return count


def too_small(needed: StepMemory, memory: int) -> str:
    """That not even one sample fits, and what can be done."""
    return (
        f"one sample needs about {needed.total / 2**30:.1f} GiB and a device's own {CONTEXT / 2**30:.1f}, and there "
        f"are {memory / 2**30:.1f}; set train.gradient_checkpointing=true, data.latents=cache, a smaller "
        "base.resolution or base.dtype=bf16"
    )
