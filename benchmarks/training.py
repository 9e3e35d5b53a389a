"""`train`: our step with and without caches against the reference step, on the same base and shards, in turns."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import torch

from benchmarks.options import Options
from benchmarks.ours import caching, composed, training
from benchmarks.reference import TutorialStep, tutorial_batches
from benchmarks.report import Report, Row
from benchmarks.shards import TASKS
from benchmarks.timing import Times, Work, take_turns
from ipai.data.shards import ShardSet
from ipai.training.flops import count_step_flops, matmul_ceiling
from ipai.training.run import make_accelerator

REFERENCE = "reference"
Maker = Callable[[], AbstractContextManager[Work]]
DRAWS = {"ours, nothing cached, 2 draws": 2, "ours, nothing cached, 4 draws": 4}  # a sample; others have one
OURS = {
    "ours, nothing cached": ("data.latents=online", "data.image_tokens=online"),
    "ours, VAE cached": ("data.latents=cache", "data.image_tokens=online"),
    "ours, VAE and CLIP cached": ("data.latents=cache", "data.image_tokens=cache"),
    "ours, nothing cached, channels last": ("train.channels_last=true",),
    "ours, VAE and CLIP cached, channels last": (
        "data.latents=cache", "data.image_tokens=cache", "train.channels_last=true",
    ),
    "ours, VAE and CLIP cached, compiled": ("data.latents=cache", "data.image_tokens=cache", "train.compile=true"),
    **{name: (f"train.draws_per_sample={draws}",) for name, draws in DRAWS.items()},
}  # fmt: skip
_PRECISION = "base.dtype=bf16"


def measure(options: Options, done: Callable[[], object]) -> Report:
    """Let every contestant train in turns, and compare its samples a second with the reference's."""
    caching(options, _PRECISION)
    makers: dict[str, Maker] = {REFERENCE: partial(_reference, options)}
    makers |= {name: partial(training, options, (_PRECISION, *keys)) for name, keys in OURS.items()}
    times = take_turns({name: makers[name] for name in options.chosen(list(makers))}, options, done)
    config = composed(options, _PRECISION)
    device = make_accelerator(config).device
    flops = sample_flops(options)
    ceiling = matmul_ceiling(device, torch.bfloat16, seconds=1.0)
    rows = [_row(name, measured, times[REFERENCE], options, flops / ceiling) for name, measured in times.items()]
    return Report(
        "train", options.quick, rows,
        facts={
            "base": config.base.name, "batch size": options.batch_size,
            "TFLOP a sample (UNet and adapter, forward and backward)": flops / 1e12,
            "bf16 matmul ceiling, TFLOP/s": ceiling / 1e12,
        },
        notes=[
            "Weights are random. MFU counts UNet and adapter only, against the measured matmul ceiling.",
            "A sample that is noised and learned from n times (draws) counts n times.",
            *(["A small base: these ratios are not those of the full size."] if options.quick else []),
        ],
    )  # fmt: skip


def sample_flops(options: Options) -> int:
    """FLOPs of one sample in the denoiser and the adapter, forward and backward."""
    from ipai.backbones.config import weights_of
    from ipai.backbones.families import find_base
    from ipai.conditioning import spec_of

    config = composed(options)
    found = find_base(config.base, weights_of(config.base), weights=False)
    return count_step_flops(found, spec_of(config.adapter, config.base, found.dims))


@contextmanager
def _reference(options: Options) -> Iterator[Work]:
    config = composed(options, _PRECISION)
    files = [str(path) for task in TASKS for path in ShardSet.open(Path(config.data.root), task, "train").files]
    yield TutorialStep(config.base, make_accelerator(config), tutorial_batches(config.base, files, options.batch_size))


def _row(name: str, times: Times, reference: Times, options: Options, ceiling_s: float) -> Row:
    draws = DRAWS.get(name, 1)
    return {
        "step": name,
        "s a step": times.wall,
        "fastest, slowest": f"{min(times.wall_s):.3g}, {max(times.wall_s):.3g}",
        "first step, s": times.first_s[0],
        "samples/s": draws * options.batch_size / times.wall,
        "times the reference": draws * reference.wall / times.wall,
        "by processor time": draws * reference.cpu / times.cpu,
        "MFU": draws * ceiling_s * options.batch_size / times.wall,
        "peak GiB": times.peak_gib,
        "steps": len(times.wall_s),
    }
