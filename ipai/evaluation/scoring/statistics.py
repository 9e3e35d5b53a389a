"""Rows of scores, one a picture, and their means with standard errors."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

SCORES: dict[str, str] = {
    "clip_i": "CLIP-I",
    "clip_t": "CLIP-T",
    "clip_p": "CLIP-P",
    "clip_s": "CLIP-S",
    "clip_s_raw": "CLIP-S raw",
    "edge_f1": "edge F1",
    "palette_distance": "palette distance",
    "diversity": "diversity",
    "csd": "CSD",
    "dino_i": "DINO-I",
    "dino_structure": "DINO structure",
    "lpips": "1 - LPIPS",
    "face_id": "face identity",
    "vqa_p": "VQA-P",
    "vqa_t": "VQA-T",
    "judge_style": "judged style",
    "judge_composition": "judged composition",
    "judge_object": "judged object",
    "judge_face": "judged face",
}
"""Columns of scores.parquet and what tables call them; those from `csd` on only where they were asked for.

`clip_s` is 2.5 times `clip_s_raw`, as the paper's must be.
"""

Row = dict[str, Any]


@dataclass(frozen=True)
class Mean:
    """A mean over samples.

    Attributes:
        mean: Of them.
        standard_error: Of the mean; None for a single sample.
        n: How many samples.
    """

    mean: float
    standard_error: float | None
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Mean":
        """The mean of at least one value."""
        spread = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else None
        return cls(float(np.mean(values)), spread, len(values))


def summarise(rows: Sequence[Row]) -> dict[str, dict[str, Mean]]:
    """Task -> score -> mean over samples; the noises of one sample are averaged first."""
    result: dict[str, dict[str, Mean]] = {}
    for task in dict.fromkeys(row["task"] for row in rows):
        result[task] = {}
        for score in SCORES:
            values = list(by_sample(rows, task, score).values())
            if values:
                result[task][score] = Mean.of(values)
    return result


def by_sample(rows: Sequence[Row], task: str, score: str) -> dict[str, float]:
    """Key -> the mean of a score over a sample's noises, for samples that have it, in the order of the rows."""
    found: dict[str, list[float]] = {}
    for key, value in _values(rows, task, score):
        found.setdefault(key, []).append(value)
    return {key: float(np.mean(values)) for key, values in found.items()}


def _values(rows: Sequence[Row], task: str, score: str) -> Iterator[tuple[str, float]]:
    for row in rows:
        if row["task"] == task and row.get(score) is not None:
            yield row["key"], row[score]
