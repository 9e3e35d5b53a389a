"""What a command says of a plan and of a finished build. Nothing here prints."""

from collections import Counter
from collections.abc import Iterable

from data_builders.engine.plan import Plan
from data_builders.engine.run import Progress


def plan_text(plan: Plan, limit: int | None = None) -> str:
    """Candidates, drops in the order of the filters, records, shards of each split, and if `limit` is not reached."""
    selection = plan.selection
    rows: list[tuple[str, int]] = [*selection.facts.items(), ("candidates", selection.considered)]
    rows += [(f"  - {reason}", count) for reason, count in selection.drops.items()]
    rows += [("records that pass", selection.passed), ("  - beyond limit", plan.beyond_limit)]
    rows += [("records planned", plan.count("train") + plan.count("val"))]
    wide = max(len(name) for name, _ in rows)
    lines = [f"{name:<{wide}}  {count:>9,}" for name, count in rows]
    planned = plan.count("train") + plan.count("val")
    if limit is not None and planned < limit:
        hint = f" (try {selection.more})" if selection.more else ""
        lines.append(f"limit not reached: {planned:,} of {limit:,}{hint}")
    for split in ("train", "val"):
        shards = sum(shard.split == split for shard in plan.shards)
        lines.append(f"{split + ' records':<{wide}}  {plan.count(split):>9,}  in {counted(shards, 'shard')}")
    return "\n".join(lines)


class Tally:
    """The running sums of a build."""

    def __init__(self) -> None:
        self.written = 0
        self.found = 0
        self.shards = 0
        self.drops: Counter[str] = Counter()

    def add(self, progress: Progress) -> None:
        """Count one more shard."""
        self.shards += 1
        self.written += progress.written
        self.found += 0 if progress.fresh else 1
        self.drops.update(progress.drops)

    @property
    def share_kept(self) -> float:
        """Samples written, as a share of those planned for the shards so far."""
        planned = self.written + self.drops.total()
        return self.written / planned if planned else 0.0

    def text(self) -> str:
        """One line: samples, shards, and what was dropped while reading."""
        text = f"{counted(self.written, 'sample')} in {counted(self.shards, 'shard')}"
        if self.found:
            text += f" ({self.found:,} of them were there already)"
        return text + f"; dropped while reading: {drops_text(self.drops.items())}"


def drops_text(drops: Iterable[tuple[str, int]]) -> str:
    """`truncated 2, missing_file 1`, or `none`."""
    return ", ".join(f"{reason} {count:,}" for reason, count in sorted(drops)) or "none"


def counted(count: int, noun: str) -> str:
    """`1 shard`, `2 shards`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
