"""A whole build, from the plan to the card."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from data_builders.engine.card import write_card, write_manifest
from data_builders.engine.config import BuildConfig, hash_of
from data_builders.engine.executors import run_jobs
from data_builders.engine.folder import folder_of, freeze, locked, refuse_other_settings, remove_remains
from data_builders.engine.plan import Plan, ShardPlan, make_plan
from data_builders.engine.plan_cache import selected
from data_builders.engine.records import Builder, FetchingBuilder
from data_builders.engine.shard import Stamp, build_shard, finished, writing


@dataclass(frozen=True)
class Progress:
    """A shard that is done.

    Attributes:
        planned: Samples that were planned for it.
        written: Samples that it holds.
        drops: How many were dropped, by reason.
        fresh: It was built now, rather than found finished.
    """

    planned: int
    written: int
    drops: dict[str, int]
    fresh: bool


def plan_build(builder: Builder, config: BuildConfig) -> Plan:
    """Read the source and plan its shards; writes a cache alone. Refuses an output with other settings before a build.

    Raises:
        DataError: The source cannot be used, nothing is left of it, or the output was started with other settings.
    """
    if not config.dry_run:  # before the reading, which may take a minute
        refuse_other_settings(folder_of(config), config, _stamp(builder, config))
    with uncollected():
        return make_plan(selected(builder, config), config)


@contextmanager
def uncollected() -> Iterator[None]:
    """Without the cyclic garbage collector, which would look again and again at millions of records that all stay."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def shards_to_build(builder: Builder, config: BuildConfig, plan: Plan) -> list[ShardPlan]:
    """The shards of a plan that are not done; raises DataError if one belongs to another build."""
    folder, stamp = folder_of(config), _stamp(builder, config)
    return [shard for shard in plan.shards if finished(shard, stamp, folder, config.verify) is None]


def fetch_weights(builder: Builder) -> None:
    """Download the weights that a builder needs, if it needs any; raises WeightsError."""
    if isinstance(builder, FetchingBuilder):
        builder.fetch()


def build(builder: Builder, config: BuildConfig, plan: Plan) -> Iterator[Progress]:
    """Build every shard that is not done, then the manifest and the card; yields once a shard, in any order.

    Raises:
        DataError: Another process builds here, the source changed, or reading or writing fails. Finished shards stay.
        WeightsError: The builder's weights are neither there nor to be had.
    """
    folder, stamp = folder_of(config), _stamp(builder, config)
    with locked(folder):
        refuse_other_settings(folder, config, stamp)
        remove_remains(folder)
        freeze(folder, config, stamp, plan)
        sidecars: dict[str, dict[str, Any]] = {}
        missing: list[ShardPlan] = []
        for shard in plan.shards:
            sidecar = finished(shard, stamp, folder, config.verify)
            if sidecar is None:
                # Without it a killed rebuild of a damaged shard would look finished.
                with writing(folder):
                    (folder / f"{shard.name}.json").unlink(missing_ok=True)
                missing.append(shard)
            else:
                sidecars[shard.name] = sidecar
                yield _progress(sidecar, fresh=False)
        if missing:
            fetch_weights(builder)
        job = partial(_build_one, builder, stamp, folder, config.max_drop_fraction)
        for sidecar in run_jobs(job, missing, config.executor, config.needs_gpu):
            sidecars[sidecar["shard"]] = sidecar
            yield _progress(sidecar, fresh=True)
        ordered = [sidecars[shard.name] for shard in plan.shards]
        with writing(folder):
            write_manifest(folder, ordered)
            write_card(folder, builder, config, plan, ordered)


def _build_one(
    builder: Builder, stamp: Stamp, folder: Path, max_drop_fraction: float, plan: ShardPlan
) -> dict[str, Any]:
    # A cluster may hand a shard out again that was finished just before its worker was lost.
    return finished(plan, stamp, folder, verify=False) or build_shard(builder, plan, stamp, folder, max_drop_fraction)


def _stamp(builder: Builder, config: BuildConfig) -> Stamp:
    return Stamp(config.task, builder.name, builder.version, hash_of(config))


def _progress(sidecar: dict[str, Any], fresh: bool) -> Progress:
    return Progress(sidecar["planned"], sidecar["count"], sidecar["drops"], fresh)
