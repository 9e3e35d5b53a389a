"""This project's own training, composed as `train.py` composes it, one step at a time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra import compose, initialize_config_dir
from tqdm import tqdm

from benchmarks.options import Options
from benchmarks.random_base import ensure_base
from benchmarks.shards import TASKS, ensure_shards
from benchmarks.timing import Work
from ipai.caching.building import fill_cache
from ipai.caching.config import parse as parse_caching
from ipai.caching.plan import plan_cache
from ipai.config import TrainingRun, parse
from ipai.training.assemble import assemble
from ipai.training.loop import Trainer
from ipai.training.run import make_accelerator

CONF = Path(__file__).parents[1] / "conf"
SAMPLES = 4  # a task; on a CPU each takes seconds to cache in full size


def composed(options: Options, *overrides: str) -> TrainingRun:
    """The joint experiment on the benchmark's base and shards, without validation, EMA and loggers.

    Instructions are fixed: encoding the pools would take longer than the benchmark.
    """
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        return parse(compose("train", overrides=[*settings(options), *overrides]))


def settings(options: Options) -> list[str]:
    """What every training of a benchmark has in common, as overrides."""
    return [
        "experiment=fixed_instruction", "recipe=ablation", f"tasks=[{','.join(TASKS)}]",
        *ensure_base(options.work, options.quick),
        f"data.root={ensure_shards(options.work, SAMPLES)}", "data.workers=0",
        f"train.batch_size={options.batch_size}", "train.steps=100000000", f"run={options.work / 'run'}",
        "train.ema_half_life=null", "validation.samples=0", "validation.images=0", "logger=none",
    ]  # fmt: skip


@contextmanager
def training(options: Options, overrides: Sequence[str], first_step: int = 0) -> Iterator[Work]:
    """A trainer whose work is one step, in memory until the context ends."""
    config = composed(options, *overrides)
    parts = assemble(config, make_accelerator(config))
    trainer = Trainer(config, options.work / "run", parts, [])
    steps = iter(range(first_step, config.train.steps))
    stream = parts.micro_batches(first_step)
    parts.speed.start(0)
    yield lambda: trainer.train_step(next(steps), stream)


def caching(options: Options, *overrides: str) -> None:
    """Fill the cache of the benchmark's training shards, unless it is there, and free the networks.

    Args:
        options: Say which base and shards.
        overrides: The precision of the base.
    """
    kept = [text for text in settings(options) if text.startswith(("base", "data.root="))]
    tasks, batch = f"tasks=[{','.join(TASKS)}]", f"batch_size={options.batch_size}"
    keys = [*kept, *overrides, tasks, batch, "splits=[train]", "image_tokens=true", "data.workers=0"]
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        config = parse_caching(compose("cache_latents", overrides=keys))
    plan = plan_cache(config)
    if total := sum(len(work.samples) for work in plan.todo):
        with tqdm(total=total, unit=" samples", desc="cache", disable=None) as bar:
            fill_cache(config, plan, bar.update)
