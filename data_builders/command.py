"""Build the shards of one task:  python scripts/build_datasets.py task=object source.root=... output=...

Without a task it builds all of a recipe: paper (the default) or toy. task=instructions writes the instruction pools.

`--help` lists the choices and settings, `dry_run=true` prints the plan.

The same command continues a build that was interrupted; finished shards are never built again.
"""

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from data_builders.engine.base_resolution import resolution_of
from ipai.cli import MISUSE, command
from ipai.errors import DataError

if TYPE_CHECKING:  # the workers of the pool import this file and need none of it
    from collections.abc import Iterator

    from data_builders.captions.captioner import ModelCaptioner
    from data_builders.engine.config import BuildConfig
    from data_builders.engine.plan import Plan, ShardPlan
    from data_builders.engine.records import Builder
    from ipai.llm.asking import Report, Tally


@command(
    "build/build_datasets",
    interrupted="interrupted; finished shards are kept, and the same command continues",
)
def main(raw: DictConfig) -> int | None:
    """Check, plan, and build unless it is a dry run."""
    from data_builders.engine.config import ALL
    from data_builders.instructions.config import NAME as INSTRUCTIONS

    resolution_of(raw.base)  # a misspelt one is refused once, before anything is planned
    if raw.task == ALL:
        return run_all(raw)
    if raw.task == INSTRUCTIONS:
        run_instructions(raw)
    else:
        run(raw)
    return None


@dataclass(frozen=True)
class Planned:
    """A data set that can be made: how, and the shards that are not there yet."""

    config: "BuildConfig"
    builder: "Builder"
    captioner: "ModelCaptioner | None"
    plan: "Plan"
    shards: "list[ShardPlan]"


def run_all(raw: DictConfig) -> int:
    """Plan all that the recipe names, say what is missing, then build the rest; `MISUSE` if anything is missing."""
    from data_builders.build_all import make_all, plan_all
    from data_builders.engine.room import refuse_too_little

    plans = plan_all(raw, list(HydraConfig.get().overrides.task), planned)
    for task, error in plans.missing.items():
        print(f"error: {task}: {error}\n", file=sys.stderr)
    ends = dict.fromkeys(plans.missing, "MISSING, see above")
    if raw.dry_run:
        ends |= dict.fromkeys(plans.ready, "planned")
    else:
        refuse_too_little(sum(room_of(found) for found in plans.ready.values()), Path(raw.output))
        for task, why in make_all(plans.ready, make):
            ends[task] = "done" if why is None else "FAILED, see above"
            if why is not None:
                print(f"error: {task}: {why}\n", file=sys.stderr)
    print("\n".join(f"{task:10} {ends[task]}" for task in raw.all.builds))
    return 0 if {"done", "planned"}.issuperset(ends.values()) else MISUSE


def run_instructions(raw: DictConfig) -> None:
    """Write the instruction pools, or print what they are likely to cost."""
    from data_builders.engine.report import drops_text
    from data_builders.instructions.builder import build_pools, pool_bill
    from data_builders.instructions.config import parse_instructions

    config = parse_instructions(raw, list(HydraConfig.get().overrides.task))
    requests, dollars = pool_bill(config)
    print(f"{', '.join(config.chosen)}: about {requests:,} requests, ${dollars:,.2f}, if none is known", flush=True)
    if config.dry_run:
        return
    with asking_bar(requests, "instructions", " requests") as report:
        for pool in build_pools(config, report):
            left_out = drops_text(pool.dropped.items())
            print(f"{pool.task}: {pool.files[0]} and {pool.files[1].name}; left out: {left_out}", flush=True)


def run(raw: DictConfig) -> None:
    """Plan the build that was composed, then make it."""
    from data_builders.engine.room import refuse_too_little

    found = planned(raw)
    if not found.config.dry_run:
        refuse_too_little(room_of(found), Path(found.config.output))
        make(found)


def planned(raw: DictConfig) -> Planned:
    """Read the source, print the plan (and the bill), and check what the build needs; downloads and asks nothing."""
    from data_builders.captions.captioner import model_captioner
    from data_builders.engine.config import parse
    from data_builders.engine.report import plan_text
    from data_builders.engine.run import plan_build, shards_to_build
    from data_builders.registry import create_builder, schema_of

    config = parse(raw, schema_of(raw.task, raw.get("builder")))
    builder = create_builder(config)
    plan = plan_build(builder, config)
    print(f"{config.task}:\n{plan_text(plan, config.limit)}", flush=True)
    captioner = model_captioner(config)
    if config.scores:
        print(f"{config.task} scores, after the build: {', '.join([*config.scores.names, *config.scores.classifiers])}")
    if config.dry_run:
        if captioner is not None:
            print_bill(builder, captioner, config, plan)
        if config.probe:
            print_hours(builder, config, plan)
        return Planned(config, builder, captioner, plan, [])
    shards = shards_to_build(builder, config, plan)
    if captioner is not None and shards:
        from data_builders.captions.stage import refuse_missing_key  # a second, which others need not wait for

        refuse_missing_key(captioner)
    return Planned(config, builder, captioner, plan, shards)


def room_of(found: Planned) -> int:
    """Bytes that its shards need at the least."""
    from data_builders.engine.room import bytes_needed

    return bytes_needed(found.config, found.shards)


def make(found: Planned) -> None:
    """Fetch the weights, ask for the captions, build, and score what was built."""
    from data_builders.engine.run import fetch_weights

    if found.shards:
        fetch_weights(found.builder)
    if found.captioner is not None:
        caption_with_bar(found.builder, found.captioner, found.config, found.shards)
    build_with_bar(found.builder, found.config, found.plan)
    if found.config.scores:
        score_with_bar(found.config)


def score_with_bar(config: "BuildConfig") -> None:
    """Add the scores that the finished shards do not have yet, with a bar on stderr.

    Only now are the models loaded: the builder's own have left the GPU. What cannot be had fails the command, and the
    shards stay; the same command scores them later.
    """
    from tqdm import tqdm

    from ipai.errors import WeightsError
    from ipai.evaluation.scoring.scoring_pass import load_scorers, score_counts, shards_to_score
    from ipai.evaluation.scoring.shard_scorers import score_shard

    try:
        asked = load_scorers(config.scores)
    except WeightsError as error:
        raise WeightsError(
            f"the shards are done, but not scored: {error}. Repeat the command with the weights at hand, or with "
            "scores.names=[] to do without"
        ) from error
    work = shards_to_score(Path(config.output).expanduser(), [config.task])
    total = sum(held.counts[number] for held, number in work)
    with tqdm(total=total, unit=" samples", desc=f"{config.task} scores", file=sys.stderr, disable=None) as bar:
        unusable = sum(score_shard(held, number, asked, bar.update) for held, number in work)
    counts = ", ".join(f"{name} of {count:,}" for name, count in score_counts(work, asked).items())
    print(f"{config.task} scores: {counts}; samples: {total:,}, of them cannot be read: {unusable:,}", flush=True)


def print_bill(builder: "Builder", captioner: "ModelCaptioner", config: "BuildConfig", plan: "Plan") -> None:
    """Say how many captions would be asked for, and for how many dollars."""
    from data_builders.captions.bill import bill_of, bill_text

    print(bill_text(bill_of(builder, captioner, config, plan), captioner))


def print_hours(builder: "Builder", config: "BuildConfig", plan: "Plan") -> None:
    """Make a few samples, and say how long all would take."""
    from data_builders.engine.probe import time_samples, timing_text

    print(f"making {config.probe:,} samples to measure ...", file=sys.stderr, flush=True)
    print(timing_text(time_samples(builder, config, plan)))


def caption_with_bar(
    builder: "Builder", captioner: "ModelCaptioner", config: "BuildConfig", shards: "list[ShardPlan]"
) -> None:
    """Ask for the captions, with a bar on stderr that shows rate, remaining time and money; then say what came."""
    from data_builders.captions.stage import ask_captions, captions_of

    if shards:
        with asking_bar(captions_of(builder, shards), f"{config.task} captions", " captions") as report:
            tally = ask_captions(builder, captioner, config, shards, report)
        print(f"{config.task} captions: {tally.text()}", flush=True)


@contextmanager
def asking_bar(total: int, name: str, unit: str) -> "Iterator[Report]":
    """A bar on stderr of what a language model is asked; yields what to call whenever something is settled."""
    from tqdm import tqdm

    with tqdm(total=total, unit=unit, desc=name, file=sys.stderr, disable=None) as bar:

        def report(tally: "Tally") -> None:
            bar.total = total - tally.cached  # the bar and its rate are about what is asked
            bar.update(tally.outcomes.total() - bar.n)
            bar.set_postfix_str(f"${tally.dollars:.2f}, {tally.cached:,} known, {tally.cautions}")

        yield report


def build_with_bar(builder: "Builder", config: "BuildConfig", plan: "Plan") -> None:
    """Build, with a bar on stderr that shows rate, remaining time, share kept and drops; then say what was made."""
    from tqdm import tqdm

    from data_builders.engine.folder import folder_of
    from data_builders.engine.report import Tally, drops_text
    from data_builders.engine.run import build

    tally = Tally()
    left = plan.count("train") + plan.count("val")
    with tqdm(total=left, unit=" samples", desc=config.task, file=sys.stderr, disable=None) as bar:
        for progress in build(builder, config, plan):
            tally.add(progress)
            if progress.fresh:
                bar.update(progress.planned)
            else:  # the bar and its rate are about what is left to do
                left -= progress.planned
                bar.total = left
            bar.set_postfix_str(f"kept {tally.share_kept:.1%}, dropped: {drops_text(tally.drops.items())}")
    print(f"{config.task}: {tally.text()} -> {folder_of(config)}")
    if not tally.written:
        raise DataError(
            f"the data set {config.task} is empty: all {tally.drops.total():,} planned samples were dropped "
            f"({drops_text(tally.drops.items())}). Mend that, remove {folder_of(config)} and repeat the command"
        )
