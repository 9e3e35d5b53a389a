"""What is written when all shards are done: the manifest (one line a sample) and the data card."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import PIL

from data_builders.engine.config import BuildConfig, deciding_settings
from data_builders.engine.plan import Plan
from data_builders.engine.records import Builder
from ipai.files import write_text
from ipai.pages import render_page

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
    text = rendered(
        "card",
        builder=builder,
        config=config,
        splits=[_split_row(split, sidecars) for split in ("train", "val")],
        licences=_licences(sidecars),
        of_source=builder.card(),
        drops=_drops(plan, sidecars),
        facts=list(plan.selection.facts.items()),
        locality=plan.selection.locality,
        pillow=PIL.__version__,
        settings=[(f"`{key}`", f"`{value}`") for key, value in deciding_settings(config).items()],
    )
    write_text(folder / "card.md", f"{text}\n")


def rendered(name: str, **values: Any) -> str:
    """A file of `data_builders/templates`, filled; without the line break at its end."""
    return render_page(f"{name}.md.jinja", package="data_builders", **values).strip()


def _split_row(split: str, sidecars: Sidecars) -> tuple[Any, ...]:
    mine = [sidecar for sidecar in sidecars if sidecar["split"] == split]
    return split, len(mine), sum(s["count"] for s in mine), sum(s["bytes"] for s in mine)


def _licences(sidecars: Sidecars) -> list[tuple[str, int]]:
    samples = (sample for sidecar in sidecars for sample in sidecar["samples"])
    counts = Counter((sample["source"]["licence"] or {"name": "not stated"})["name"] for sample in samples)
    return sorted(counts.items())


def _drops(plan: Plan, sidecars: Sidecars) -> list[tuple[str, int]]:
    selection = plan.selection
    reading: Counter[str] = Counter()
    for sidecar in sidecars:
        reading.update(sidecar["drops"])
    return [
        ("candidates", selection.considered),
        *((f"- {reason}", count) for reason, count in selection.drops.items()),
        ("pass every filter", selection.passed),
        ("- limit", plan.beyond_limit),
        ("planned", plan.count("train") + plan.count("val")),
        *((f"- {reason} (found when reading)", count) for reason, count in sorted(reading.items())),
        ("written", sum(sidecar["count"] for sidecar in sidecars)),
    ]
