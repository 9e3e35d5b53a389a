"""What a run would be, from configuration files alone: `dry_run=true`. No weights are read and nothing is written."""

import logging
from collections.abc import Iterator

import torch
from accelerate import Accelerator

from ipai.adapter.adapter import InstructAdapter
from ipai.adapter.spec import AdapterSpec
from ipai.backbones.families import FoundBase, family_of, find_networks
from ipai.backbones.loading import resolve_dtype
from ipai.conditioning import measures_open_clip, spec_of
from ipai.config import TrainingRun
from ipai.training.assemble import parts_wanted
from ipai.training.batching import Batching
from ipai.training.datasets import build_datasets
from ipai.training.flops import count_step_flops
from ipai.training.memory import StepMemory, estimate

log = logging.getLogger(__name__)

_GIB = 2**30


def dry_run(config: TrainingRun, accelerator: Accelerator) -> None:
    """Say how large a run is, then look at its data.

    Raises:
        IpaiError: Configuration files of the base are missing or do not fit, or data cannot be used.
    """
    found = find_networks(config.base, instructions=measures_open_clip(config.adapter))
    if accelerator.is_main_process:
        for line in facts(config, found, Batching.of(config.train, accelerator)):
            log.info(line)
    training, _ = build_datasets(config, found.dims)
    if accelerator.is_main_process:
        for task, shards in training.shards.items():
            log.info("%s: %s samples in %d shards", task, f"{len(shards):,}", len(shards.counts))


def facts(config: TrainingRun, found: FoundBase, batching: Batching) -> Iterator[str]:
    """Parameters, arithmetic, checkpoints and memory, a line each."""
    spec, train = spec_of(config.adapter, config.base, found.dims), config.train
    with torch.device("meta"):
        trainable = sum(p.numel() for p in InstructAdapter(spec).parameters() if p.requires_grad)
    network = found.configs[family_of(config.base).denoising]
    frozen = sum(p.numel() for p in network.parameters())
    yield f"trainable parameters {trainable:,}; frozen {frozen:,} in the denoiser, {config.base.name}"
    yield str(batching)
    samples = train.steps * train.batch_size
    flops = count_step_flops(found, spec, train.draws_per_sample)
    yield (
        f"{flops / 1e9:,.1f} GFLOP a sample in denoiser and adapter, forward and backward; "
        f"{samples * flops / 1e18:,.3g} EFLOP for {samples:,} samples"
    )
    copies = 1 + 2 + (train.ema_half_life is not None)
    yield (
        f"a checkpoint has {4 * trainable * copies / _GIB:,.2f} GiB (adapter, {copies - 3 or 'no'} average, two "
        f"moments, in fp32); {config.checkpoint.keep} are kept, and one more while it is written"
    )
    for dtype in _dtypes(config):
        yield _memory_line(memory_of(config, found, spec, dtype, batching), dtype, batching, train.compile)


def memory_of(
    config: TrainingRun, found: FoundBase, spec: AdapterSpec, dtype: torch.dtype, batching: Batching
) -> StepMemory:
    """What one process of this run needs."""
    wanted = parts_wanted(config)
    return estimate(
        found, spec, dtype, batching.micro_batch_size,
        loaded={part: part in wanted for part in family_of(config.base).parts},
        averaged=config.train.ema_half_life is not None,
        accumulated=batching.accumulation > 1,
        draws=config.train.draws_per_sample,
        checkpointing=config.train.gradient_checkpointing,
    )  # fmt: skip


def _dtypes(config: TrainingRun) -> list[torch.dtype]:
    """That of the run; `auto` is what GPUs take and what a CPU takes."""
    if config.base.dtype != "auto":
        return [resolve_dtype(config.base.dtype, torch.device("cpu"))]
    return [torch.bfloat16, torch.float32]


def _memory_line(memory: StepMemory, dtype: torch.dtype, batching: Batching, compiled: bool) -> str:
    held = {"frozen": memory.frozen, "adapter and optimizer": memory.trained, "step": memory.step}
    parts = ", ".join(f"{name} {count / _GIB:,.2f}" for name, count in held.items())
    return (
        f"about {memory.total / _GIB:,.2f} GiB a process in {str(dtype).removeprefix('torch.')} with micro-batches of "
        f"{batching.micro_batch_size} ({parts}), by a trace without weights; a GPU's context and allocator come on top"
        + ("; train.compile, which saves some of it, is not in the trace" if compiled else "")
    )
