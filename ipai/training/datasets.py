"""The data of a run, from its configuration: shards, pools, caches and the order of the samples."""

import io
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from ipai.backbones.dims import BaseDims
from ipai.backbones.families import family_of
from ipai.caching.identity import identity_of
from ipai.config import TrainingRun
from ipai.data.buckets import SetBuckets, members_of
from ipai.data.cache import IMAGE_TOKENS, LATENTS, CachedArrays
from ipai.data.collate import Batch
from ipai.data.config import DataConfig
from ipai.data.dataset import TrainingDataset, ValidationDataset
from ipai.data.loader import SlotBatches, make_loader, micro_batches
from ipai.data.order import CYCLE, BucketedOrder, Order, SampleOrder, cycle_counts
from ipai.data.prefetch import fetched_ahead
from ipai.data.remote_shards import open_shards
from ipai.data.sample_filter import SampleFilter, filtered
from ipai.data.sample_images import Cached, Sizes
from ipai.data.shard_shuffle import ShardWindows
from ipai.data.shards import NoShardsError, ShardSet
from ipai.errors import DataError
from ipai.instructions.pools import load_pool
from ipai.runs.data_sets import SetFacts
from ipai.schema import refuse
from ipai.training.batching import Batching
from ipai.training.made_from import refuse_shared_samples

log = logging.getLogger(__name__)


def build_datasets(config: TrainingRun, dims: BaseDims) -> tuple[TrainingDataset, ValidationDataset]:
    """The training samples by (step, slot), and the fixed validation samples.

    Raises:
        IpaiError: A task has no shards, a shard is damaged, a pool breaks the rules, or `data.buckets` do not fit.
    """
    for name, extra in config.data.sources.items():
        if extra.task not in config.tasks:
            log.warning("data.sources.%s is of the task %s, which is not trained: it is left out", name, extra.task)
    refuse(config.data.buckets.problems(config.base.name, dims.resolution, dims.multiple))
    train_shards = open_all_shards(config, config.tasks, "train")
    sizes = sizes_of(config, dims, train_shards)
    order = order_of(config, train_shards, sizes.buckets)
    pools = instructions_of(config, "train")
    cached = open_caches(config, train_shards)
    # Encoded as conditions are, or asked for how they were framed, whatever is cached of them.
    targets = bool(config.train.instruction_contrast) or family_of(config.base).sees_framing
    training = TrainingDataset(
        train_shards,
        order,
        pools,
        config.data,
        config.train.seed,
        sizes,
        cached,
        config.train.draws_per_sample,
        targets,
    )
    held_out = config.tasks if config.validation.samples else []
    validation_shards = open_all_shards(config, held_out, "val")
    refuse_shared_samples(train_shards, validation_shards)
    pools = instructions_of(config, "val")
    cached = open_caches(config, validation_shards)
    sizes = sizes_of(config, dims, validation_shards)
    validation = ValidationDataset(validation_shards, pools, config.data, config.validation.samples, sizes, cached)
    return training, validation


def sizes_of(config: TrainingRun, dims: BaseDims, shards: Mapping[str, ShardSet]) -> Sizes:
    """What pictures are made to; with buckets the header of each target of `shards` is read.

    Raises:
        DataError: A shard cannot be read.
    """
    sizes = Sizes(dims.resolution, dims.image_size, dims.latent_shape)
    if config.data.buckets.max_aspect == 1:
        return sizes
    chosen = config.data.buckets.sizes(dims.resolution)
    return replace(sizes, buckets={name: SetBuckets.of(held, chosen) for name, held in shards.items()})


def order_of(config: TrainingRun, shards: Mapping[str, ShardSet], buckets: Mapping[str, SetBuckets]) -> Order:
    """Which sample sits where; with buckets, a step's targets have one size."""
    seed, batch_size, weights = config.train.seed, config.train.batch_size, weights_of(config.data, shards)
    if not buckets:
        return SampleOrder(
            seed, batch_size, {name: len(held) for name, held in shards.items()}, weights, shard_windows(config, shards)
        )
    members = members_of(buckets, batch_size)
    numbers = {number for of_size in members.values() for number in of_size if config.data.shuffle_shards}
    windows = {
        number: shard_windows(
            config, {name: shards[name].kept(of[number]) for name, of in members.items() if number in of}
        )
        for number in numbers
    }  # fmt: skip
    return BucketedOrder(seed, batch_size, members, weights, windows)


def parts_wanted(config: TrainingRun) -> list[str]:
    """The networks of the base that this run computes with: what is cached is not loaded."""
    spared = set()
    if config.data.latents == "cache" and not (config.validation.samples and config.validation.images):
        spared.add("vae")
    if config.data.image_tokens == "cache" and not config.train.instruction_contrast:
        spared.add("image_encoder")
    return [part for part in family_of(config.base).parts if part not in spared]


def open_all_shards(config: TrainingRun, tasks: Sequence[str], split: str) -> dict[str, ShardSet]:
    """The shards of each set of these tasks, by its name.

    Raises:
        DataError: Some tasks have none: all of these are named, with the ways out; a further set has none; or a shard
            is damaged.
    """
    found: dict[str, ShardSet] = {}
    missing: list[str] = []
    for task in tasks:
        sets = config.data.sets_of(task)
        for name, one in sets.items():
            try:
                opened = open_shards(one.root, task, split, config.data.store)
            except NoShardsError as error:
                if name != task:
                    other = "; or validate nothing: validation.samples=0" if split == "val" else ""
                    raise DataError(f"data.sources.{name.partition('/')[2]}: {error}{other}") from error
                if len(sets) == 1:
                    missing.append(task)
                continue
            opened.name = name
            found[name] = _chosen(opened, SampleFilter(one.filter)) if one.filter else opened
    if missing:
        ways = ["build them (make build-datasets)", "set data.root to the folder that holds them"]
        ways += ["validate nothing: validation.samples=0"] if split == "val" else []
        ways += [f"train on what is there: 'tasks=[{','.join(found)}]'"] if found else []
        ways += ["run `make demo`, which builds the toy world's"] if config.names.recipe.startswith("toy") else []
        raise DataError(
            f"there are no {split}-*.tar of {', '.join(missing)} in {config.data.root}/<task>; {', or '.join(ways)}"
        )
    return found


def _chosen(shards: ShardSet, wanted: SampleFilter) -> ShardSet:
    """The samples that meet the condition; the others are counted by reason, and told."""
    kept, refused = filtered(shards, wanted)
    reasons = ", ".join(f"{why}: {count:,}" for why, count in refused.most_common()) or "nothing"
    log.info(
        "the filter keeps %s of %s %s samples of %s; left out: %s",
        f"{len(kept):,}", f"{len(shards):,}", shards.split, shards.name, reasons,
    )  # fmt: skip
    return kept


def shard_windows(config: TrainingRun, shards: Mapping[str, ShardSet]) -> dict[str, ShardWindows]:
    """How each set's shards are mixed, if not as a whole."""
    window = config.data.shuffle_shards
    if window is None:
        return {}
    return {name: ShardWindows(held.counts, window, config.train.seed, name) for name, held in shards.items()}


def weights_of(data: DataConfig, shards: Mapping[str, ShardSet]) -> dict[str, float]:
    """How often each set is drawn: the weight of its task, shared among the task's sets."""
    own = {name: data.sets_of(held.task)[name].weight for name, held in shards.items()}
    of_task: dict[str, float] = defaultdict(float)
    for name, held in shards.items():
        of_task[held.task] += own[name]
    return {name: data.weights.get(held.task, 1.0) * own[name] / of_task[held.task] for name, held in shards.items()}


def facts_of(data: DataConfig, shards: Mapping[str, ShardSet]) -> dict[str, SetFacts]:
    """Name -> facts of each set; `shards` are those for training."""
    counts = cycle_counts(weights_of(data, shards))
    return {
        name: SetFacts(
            task=held.task,
            root=data.sets_of(held.task)[name].root,
            samples=len(held),
            shards=len(held.counts),
            share=counts[name] / CYCLE,
            licences=dict(sorted(held.licences().items())),
            side=_side_of(held),
        )
        for name, held in shards.items()
    }


def _side_of(held: ShardSet) -> int:
    """The shorter side of a set's first target, px; 0 where it is in a store, or damaged, which the loader counts."""
    if not len(held) or not held.local_files:
        return 0
    try:
        return min(Image.open(io.BytesIO(held.read(0, condition=False).target)).size)
    except (OSError, DataError, Image.DecompressionBombError):
        return 0


def open_caches(config: TrainingRun, shards: dict[str, ShardSet]) -> dict[str, Cached]:
    """What was computed of the samples beforehand, as far as the configuration asks for it.

    Raises:
        DataError: It is missing, stale or foreign.
    """
    wanted = {LATENTS: config.data.latents, IMAGE_TOKENS: config.data.image_tokens}
    identities = {
        kind: identity_of(kind, config.base, config.data.buckets)
        for kind, source in wanted.items()
        if source == "cache"
    }
    return {
        name: Cached(
            **{
                kind: CachedArrays.open(config.data.cache_of(name), held, identity)
                for kind, identity in identities.items()
            }
        )
        for name, held in shards.items()
    }


def instructions_of(config: TrainingRun, split: str) -> dict[str, tuple[str, ...]]:
    """The instructions a task's samples draw from: its pool, or its one fixed wording."""
    if config.instructions.source == "fixed":
        return {task: (config.instructions.fixed[task],) for task in config.tasks}
    folder = Path(config.instructions.pools) if config.instructions.pools else None
    return {task: load_pool(task, split, folder) for task in config.tasks}


def micro_batch_stream(
    config: TrainingRun, training: TrainingDataset, batching: Batching, pin_memory: bool
) -> Callable[[int], Iterator[Batch]]:
    """A function from a step to this process's micro-batches from there on; starting costs the same anywhere."""

    def start(step: int) -> Iterator[Batch]:
        batches = SlotBatches(
            step, config.train.steps, config.train.batch_size, batching.micro_batch_size,
            batching.rank, batching.processes,
        )  # fmt: skip
        loader = make_loader(training, batches, config.data.workers, config.data.prefetch, pin_memory)
        return fetched_ahead(training, batches, loader) if config.data.is_remote else micro_batches(loader)

    return start
