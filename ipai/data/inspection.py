"""Shards, looked at: how much of what there is, what was dropped and why, the scores, and a sheet of samples."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from ipai.data.counter_rng import keyed_generator
from ipai.data.images import ImageError, decode_image
from ipai.data.sample_filter import SampleFilter, split_by
from ipai.data.shard_scores import scored_record
from ipai.data.shards import ShardSet
from ipai.errors import DataError
from ipai.instructions.pools import SPLITS, load_pool
from ipai.instructions.slots import fill_slot
from ipai.pages import chart_url, data_url, render_page
from ipai.records import RecordError, read_record
from ipai.tasks import TASKS

_THUMBNAIL = 192  # px
_BINS = 30
_LET_GO = (0.1, 0.25, 0.5, 0.75, 0.9)  # shares of a task that a threshold leaves out
_MAX_PIXELS = 64_000_000


@dataclass
class TaskFacts:
    """What the shards of one task hold.

    Attributes:
        task: Its name.
        samples: Count by split.
        groups: Different sources by split, as the sidecars tell them; empty where shards have none.
        shared_groups: Groups that are in both splits: there should be none.
        drops: What was dropped while the shards were built, by reason.
        left_out: What a filter leaves out, by the part that is not met; none of the other facts counts it.
        licences: Samples by the licence of their source.
        scores: Every score of every sample, by the score's name.
        prompt_words: Length of every prompt.
    """

    task: str
    samples: dict[str, int] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)
    shared_groups: int = 0
    drops: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)
    scores: dict[str, list[float]] = field(default_factory=dict)
    prompt_words: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Shown:
    """A sample on the sheet: both pictures as `data:` URLs, an instruction of its task, captions and source."""

    task: str
    split: str
    key: str
    condition: str
    target: str
    instruction: str
    prompt: str
    cond_prompt: str
    source: str


Progress = Callable[[int], object]


def tasks_in(root: Path) -> list[str]:
    """Tasks that have shards below `root`.

    Raises:
        DataError: There are none.
    """
    found = [task for task in TASKS if any((root / task).glob("*.tar"))]
    if not found:
        raise DataError(f"there are no shards in {root}; give the folder that holds <task>/train-*.tar")
    return found


def count_samples(root: Path, tasks: Sequence[str]) -> int:
    """How many samples the sidecars of these tasks name, read in no time; shards without a sidecar count as empty."""
    return sum(
        int(sidecar.get("count", 0)) for task in tasks for split in SPLITS for sidecar in _sidecars(root / task, split)
    )


def survey(root: Path, task: str, progress: Progress, wanted: SampleFilter | None = None) -> TaskFacts:
    """Read the records of a task, without their pictures.

    Args:
        root: Holds `<task>/<split>-*.tar`.
        task: Name of a task.
        progress: Told after each record that one more is read.
        wanted: Only the samples that meet it are looked at; the others are counted in `left_out`.

    Raises:
        DataError: A shard or its sidecar is damaged.
    """
    facts = TaskFacts(task)
    groups: dict[str, set[str]] = {}
    for split, held in _splits(root, task):
        shards = held
        if wanted is not None:
            shards, refused = split_by(held, wanted)
            facts.left_out.update(refused)
        facts.samples[split] = len(shards)
        for index in range(len(shards)):
            record = scored_record(shards, index)
            facts.licences[((record.get("source") or {}).get("licence") or {}).get("name", "not stated")] += 1
            facts.prompt_words.append(len(str(record.get("prompt", "")).split()))
            for name, value in (record.get("scores") or {}).items():
                facts.scores.setdefault(name, []).append(float(value))
            progress(1)
        groups[split] = set()
        for sidecar in _sidecars(root / task, split):
            facts.drops.update(sidecar.get("drops", {}))
            groups[split] |= {sample["group"] for sample in sidecar.get("samples", ())}
    facts.groups = {split: len(found) for split, found in groups.items() if found}
    facts.shared_groups = len(set.intersection(*groups.values())) if len(groups) > 1 else 0
    return facts


def draw_samples(
    root: Path, task: str, count: int, seed: int, pools: Path | None = None, wanted: SampleFilter | None = None
) -> Iterator[Shown]:
    """`count` samples of a task, of those that meet `wanted`, in any order, training before validation.

    Raises:
        DataError: A shard is damaged.
        InstructionError: The instruction pool cannot be used.
    """
    sets = [(split, held if wanted is None else split_by(held, wanted)[0]) for split, held in _splits(root, task)]
    total = sum(len(shards) for _, shards in sets)
    generator = keyed_generator(seed, f"inspect/{task}")
    chosen = np.sort(generator.choice(total, size=min(count, total), replace=False))
    instructions = load_pool(task, "train", pools)
    for place in chosen.tolist():
        instruction = instructions[int(generator.integers(len(instructions)))]
        for split, shards in sets:
            if place < len(shards):
                yield _shown(task, split, shards, place, instruction)
                break
            place -= len(shards)


def summary(facts: Sequence[TaskFacts]) -> str:
    """A table for the terminal."""
    lines = [f"{'task':10} {'train':>9} {'val':>7}  words  dropped while building"]
    for item in facts:
        words = np.mean(item.prompt_words) if item.prompt_words else math.nan
        drops = ", ".join(f"{reason} {count:,}" for reason, count in item.drops.most_common()) or "nothing"
        train, val = (item.samples.get(split, 0) for split in SPLITS)
        lines.append(f"{item.task:10} {train:>9,} {val:>7,}  {words:5.1f}  {drops}")
        if item.left_out:
            told = ", ".join(f"{why}: {count:,}" for why, count in item.left_out.most_common())
            lines.append(f"{'':10} left out by the filter: {told}")
        if item.shared_groups:
            lines.append(f"{'':10} WARNING: {item.shared_groups:,} groups are in both splits")
    return "\n".join(lines)


def thresholds(facts: TaskFacts) -> dict[str, list[tuple[float, int]]]:
    """Of each score the values at which 90, 75, 50, 25 and 10 % of a task's samples are left, and how many are."""
    found = {}
    for name, numbers in facts.scores.items():
        values = np.sort(np.array(numbers))
        at = [values[int(len(values) * share)] for share in _LET_GO]
        found[name] = [(float(value), int((values >= value).sum())) for value in at]
    return found


def page(root: Path, facts: Sequence[TaskFacts], samples: Sequence[Shown]) -> str:
    """The whole as one HTML page that stands alone."""
    charts = {item.task: _histograms(item) for item in facts}
    left = {item.task: thresholds(item) for item in facts}
    return render_page(
        "shards.html.jinja", root=root, facts=facts, charts=charts, left=left, samples=samples, splits=SPLITS
    )


def _splits(root: Path, task: str) -> Iterator[tuple[str, ShardSet]]:
    for split in SPLITS:
        if any((root / task).glob(f"{split}-*.tar")):
            yield split, ShardSet.open(root, task, split)


def _sidecars(folder: Path, split: str) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob(f"{split}-*.json")):
        try:
            yield read_record(path, dict[str, Any])
        except (OSError, RecordError) as error:
            raise DataError(f"{path} is damaged ({error}); build its shard again") from error


def _shown(task: str, split: str, shards: ShardSet, index: int, instruction: str) -> Shown:
    sample = shards.read(index)
    record = sample.record
    source = record.get("source") or {}
    return Shown(
        task,
        split,
        sample.key,
        _thumbnail(sample.condition),
        _thumbnail(sample.target),
        fill_slot(instruction, record.get("slot")),
        str(record.get("prompt", "")),
        str(record.get("cond_prompt", "")),
        f"{source.get('dataset', '?')} {source.get('id', '')}".strip(),
    )


def _thumbnail(content: bytes) -> str:
    """A small copy; a picture that cannot be decoded is shown as a grey square rather than hiding its sample."""
    try:
        picture = decode_image(content, _MAX_PIXELS)
    except ImageError:
        picture = Image.new("RGB", (_THUMBNAIL, _THUMBNAIL), "grey")
    picture.thumbnail((_THUMBNAIL, _THUMBNAIL))
    return data_url(picture, "jpeg")


def _histograms(facts: TaskFacts) -> str:
    values: dict[str, Sequence[float]] = {"words in a prompt": facts.prompt_words, **facts.scores}
    figure = Figure(figsize=(2.6 * len(values), 2.2), layout="constrained")
    for axes, (name, numbers) in zip(figure.subplots(1, len(values), squeeze=False)[0], values.items(), strict=True):
        axes.hist(numbers, bins=_BINS)
        axes.set(title=name, yticks=[])
    return chart_url(figure)
