"""What a run would be, from configuration files alone: `dry_run=true`. No weights are read and nothing is written."""

import logging
from collections.abc import Iterator
from dataclasses import replace

import torch
from accelerate import Accelerator

from ipai.adapter.adapter import InstructAdapter
from ipai.backbones.families import FoundBase, family_of, find_networks
from ipai.backbones.loading import resolve_dtype
from ipai.conditioning import measures_open_clip, spec_of
from ipai.config import AUTO, TrainingRun
from ipai.launch.cards import CARDS
from ipai.objective import check_keys
from ipai.runs import data_sets
from ipai.training.batching import Batching
from ipai.training.datasets import build_datasets, facts_of
from ipai.training.flops import count_step_flops
from ipai.training.memory import Needs, StepMemory, traced
from ipai.training.micro_batch import fitting_in, too_small

log = logging.getLogger(__name__)

_GIB = 2**30


def dry_run(config: TrainingRun, accelerator: Accelerator) -> None:
    """Say how large a run is, then look at its data.

    Raises:
        IpaiError: A setting of the objective is unknown, configuration files of the base are missing or do not fit, or
            data cannot be used.
    """
    check_keys(config.objective)
    found = find_networks(config.base, instructions=measures_open_clip(config.adapter))
    if accelerator.is_main_process:
        needs = traced(config, found, spec_of(config.adapter, config.base, found.dims))
        for line in facts(config, found, _batching(config, needs, accelerator), needs):
            log.info(line)
    training, _ = build_datasets(config, found.dims)
    if accelerator.is_main_process:
        for line in data_sets.lines(facts_of(config.data, training.shards), config.base.resolution):
            log.info(line)


def _batching(config: TrainingRun, needs: Needs, accelerator: Accelerator) -> Batching:
    """As the run will have it; with `auto` as the card would, or one sample at a time where none is named."""
    batching = Batching.of(config.train, accelerator)
    if config.train.micro_batch_size != AUTO:
        return batching
    if config.card is None:
        log.info(
            "train.micro_batch_size=auto is decided on the GPU; what follows is of one sample at a time (or give card=)"
        )
        count = 1
    else:
        share, memory = batching.micro_batch_size, CARDS[config.card].memory
        count = fitting_in(needs, torch.bfloat16, memory, share) or 1
    return replace(batching, micro_batch_size=count, accumulation=batching.micro_batch_size // count)


def facts(config: TrainingRun, found: FoundBase, batching: Batching, needs: Needs) -> Iterator[str]:
    """Parameters, arithmetic, checkpoints and memory, a line each.

    Args:
        config: Of the run.
        found: Its base.
        batching: As the run will have it.
        needs: Of this run, see `traced`.
    """
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
        f"{_digits(samples * flops / 1e18)} EFLOP for {samples:,} samples"
    )
    copies = 1 + 2 + (train.ema_half_life is not None)
    yield (
        f"a checkpoint has {4 * trainable * copies / _GIB:,.2f} GiB (adapter, {copies - 3 or 'no'} average, two "
        f"moments, in fp32); {config.checkpoint.keep} are kept, and one more while it is written"
    )
    if config.card is not None:
        yield from _on_card(config, needs, batching, samples * flops)
    for dtype in _dtypes(config):
        memory = needs(dtype, batching.micro_batch_size, batching.accumulation > 1)
        yield _memory_line(memory, dtype, batching, train.compile)


def _on_card(config: TrainingRun, needs: Needs, batching: Batching, flops: float) -> Iterator[str]:
    """What the data sheet of a GPU makes of it: a bound, and what is usual of it; nothing was measured there."""
    card, gpus = CARDS[str(config.card)], batching.processes
    hours = flops / (card.flops * gpus) / 3600
    kilowatts = card.watts * gpus / 1000
    usual = ", ".join(
        f"{hours / mfu:,.1f} h and {hours / mfu * kilowatts:,.1f} kWh at an MFU of {mfu:g}" for mfu in (0.2, 0.4)
    )
    yield (
        f"{gpus} x {config.card}, by its data sheet: at least {hours:,.2f} h in denoiser and adapter alone; {usual}, "
        "if it draws all it may; not measured"
    )
    share = config.train.batch_size // gpus
    count = fitting_in(needs, torch.bfloat16, card.memory, share)
    if not count:
        yield f"{config.card}: {too_small(needs(torch.bfloat16, 1, share > 1), card.memory)}"
        return
    held = f"in bfloat16 its {card.memory / 1e9:.0f} GB hold micro-batches of up to {count}"
    yield f"{config.card}: {held}, of a share of {share}"


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


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
