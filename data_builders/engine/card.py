"""What is written when all shards are done: the manifest (one line a sample) and the data card."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import PIL

from data_builders.engine.config import BuildConfig, deciding_settings
from data_builders.engine.plan import Plan
from data_builders.engine.records import Builder, CardSection
from ipai.files import write_text

Sidecars = list[dict[str, Any]]


def write_manifest(folder: Path, sidecars: Sidecars) -> None:
    """`manifest.jsonl`: key, group, split, shard, slot, source and SHA-256 of each member, in the order of the shards.

    It holds no picture and no caption, so it may be published where the shards may not.
    """
    lines = [
        json.dumps({**sample, "split": s["split"], "shard": s["shard"]}, sort_keys=True, ensure_ascii=False) + "\n"
        for s in sidecars
        for sample in s["samples"]
    ]
    write_text(folder / "manifest.jsonl", "".join(lines))


def write_card(folder: Path, builder: Builder, config: BuildConfig, plan: Plan, sidecars: Sidecars) -> None:
    """`card.md`: counts, what the builder says of its source, drops in their order, settings."""
    sections = [
        CardSection("Counts", _counts(sidecars)),
        *builder.card(),
        CardSection("What was dropped", _drops(plan, sidecars)),
        CardSection("Split and order", _split(config, plan)),
        CardSection("Settings", _settings(builder, config)),
    ]
    body = "\n\n".join(f"## {section.title}\n\n{section.text.strip()}" for section in sections)
    write_text(folder / "card.md", f"# Task {config.task}: data card\n\n{body}\n")


def table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(value: Any) -> str:
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def _counts(sidecars: Sidecars) -> str:
    rows = []
    for split in ("train", "val"):
        mine = [sidecar for sidecar in sidecars if sidecar["split"] == split]
        rows.append((split, len(mine), sum(s["count"] for s in mine), sum(s["bytes"] for s in mine)))
    licences = Counter(
        (sample["source"]["licence"] or {"name": "not stated"})["name"] for s in sidecars for sample in s["samples"]
    )
    by_licence = table(("licence of the source", "samples"), sorted(licences.items()))
    return table(("split", "shards", "samples", "bytes"), rows) + "\n\n" + by_licence


def _drops(plan: Plan, sidecars: Sidecars) -> str:
    selection = plan.selection
    reading: Counter[str] = Counter()
    for sidecar in sidecars:
        reading.update(sidecar["drops"])
    rows: list[tuple[Any, ...]] = [("candidates", selection.considered)]
    rows += [(f"- {reason}", count) for reason, count in selection.drops.items()]
    rows += [("pass every filter", selection.passed), ("- limit", plan.beyond_limit)]
    rows += [("planned", plan.count("train") + plan.count("val"))]
    rows += [(f"- {reason} (found when reading)", count) for reason, count in sorted(reading.items())]
    rows += [("written", sum(sidecar["count"] for sidecar in sidecars))]
    facts = [(name, count) for name, count in selection.facts.items()]
    text = "In the order in which the filters run; each counts what the ones before it left.\n\n"
    text += table(("", "count"), rows)
    return text + ("\n\n" + table(("the source", "count"), facts) if facts else "")


def _split(config: BuildConfig, plan: Plan) -> str:
    locality = plan.selection.locality
    order = (
        "Samples lie in the shards in the order of another keyed hash: any prefix is an unbiased draw."
        if locality is None
        else "Which samples are drawn is decided by another keyed hash; then those that agree in "
        f"`{locality.field}` are gathered, at most {locality.most} of these in a shard, so a prefix of the shards is "
        "no unbiased draw. Readers that shuffle over all shards lose nothing by it."
    )
    return (
        f"Validation: {config.val.fraction:.0%} of the planned samples, at most {config.val.max:,}, whole groups (what "
        "one photograph, prompt, style image or identity gave) in the order of a keyed hash, so no group is in both "
        f"splits. {order} Seed {config.seed}."
    )


def _settings(builder: Builder, config: BuildConfig) -> str:
    rows: list[tuple[Any, ...]] = [(f"`{key}`", f"`{value}`") for key, value in deciding_settings(config).items()]
    made = f"Made by builder `{builder.name}` version {builder.version} with Pillow {PIL.__version__}."
    return f"{made}\n\n" + table(("setting", "value"), rows)
