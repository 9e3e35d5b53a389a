"""Evaluations as files, without an adapter."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

from ipai.evaluation.scoring.statistics import SCORES, summarise

N = 40


def write_evaluation(folder: Path, tasks: tuple[str, ...], better: float, **changes: Any) -> None:
    """An evaluation whose clip_i is `better` than chance, with noise that belongs to the sample."""
    noise = np.random.default_rng(0).normal(0.5, 0.1, N)
    rows = [
        {**dict.fromkeys(SCORES), "task": task, "key": f"k{i}", "number": 0, "seed": i, "prompt": f"p{i}",
         "caption": None, "instruction": "use it", "clip_i": float(noise[i]) + better + 0.001 * (i % 3), "clip_p": 0.5}
        for task in tasks for i in range(N)
    ]  # fmt: skip
    means = {task: {name: vars(mean) for name, mean in of.items()} for task, of in summarise(rows).items()}
    scores = {
        "run": folder.parent.name, "experiment": folder.parent.name, "weights": "ema", "samples_seen": 1000, "step": 10,
        "random_weights": False, "base": "toy", "models": {"clip": "toy"}, "tasks": means, "oracles": None,
        "settings": {"instructions": "val", "sampling": {task: {"scale": 1.0} for task in tasks}},
    } | changes  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "scores.json").write_text(json.dumps(scores))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "scores.parquet")
