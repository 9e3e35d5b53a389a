"""Evaluations as files, without an adapter."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

from ipai.evaluation.layout import FOLDER
from ipai.evaluation.reporting.reproducing import NOISES, ReproduceConfig, run_folder, seeds_of, then_new_task
from ipai.evaluation.scoring.statistics import SCORES, summarise

N = 40
NOISE = 0.002


def write_evaluation(
    folder: Path, tasks: tuple[str, ...], better: float, second: float | None = None, **changes: Any
) -> None:
    """An evaluation whose clip_i is `better` than chance, with noise of its own beside what belongs to the sample.

    With `second` each sample is drawn twice, the second time by so much more than chance.
    """
    of_sample = np.random.default_rng(0).normal(0.5, 0.1, N)
    own = np.random.default_rng([1, *str(folder.relative_to(folder.parents[1])).encode()]).normal(0.0, NOISE, (2, N))
    noise = of_sample + own - own.mean(axis=1, keepdims=True)
    gains = [better] if second is None else [better, second]
    rows = [
        {**dict.fromkeys(SCORES), "task": task, "key": f"k{i}", "number": number, "seed": i, "prompt": f"p{i}",
         "caption": None, "instruction": "use it", "clip_i": float(noise[number, i]) + gain, "clip_p": 0.5}
        for task in tasks for i in range(N) for number, gain in enumerate(gains)
    ]  # fmt: skip
    means = {task: {name: vars(mean) for name, mean in of.items()} for task, of in summarise(rows).items()}
    scores = {
        "run": folder.parent.name, "experiment": folder.parent.name, "weights": "ema", "samples_seen": 1000, "step": 10,
        "random_weights": False, "base": "toy", "models": {"clip": "toy"}, "tasks": means, "oracles": None,
        "settings": {"instructions": "val", "sampling": {task: {"scale": 1.0} for task in tasks}},
    } | changes  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scores.json").write_text(json.dumps(scores))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "scores.parquet")


def oracle_table(kind: str, task: str, **taken: float) -> dict[str, Any]:
    """What scores.json holds of the oracles, where 100 answers to one task were asked for these factors."""
    table = {
        factor: {"asked": True, "taken": {"mean": share, "standard_error": (share * (1 - share)) ** 0.5 / 10, "n": 100}}
        for factor, share in taken.items()
    }
    return {"tables": {kind: {task: table}}, "accuracy": {kind: {}}, "not_scored": {kind: []}}


def write_reproduction(config: ReproduceConfig) -> None:
    """What a reproduction of `joint`, `single_object` and `fixed_instruction` leaves, with a further seed of joint.

    Told by unseen wordings the fixed run is 0.05 worse; its training seed moves joint by 0.02, another wording by 0.01
    and another noise by 0.04. The new task is taken in 0.1 more by text, with each of its training seeds, and in 0.05
    by both before it is trained. A first checkpoint leaks the place in 60 %, the end in 12 %.
    """
    git = {"git": {"commit": "0123456789abcdef", "changed": False}}

    def write(folder: Path, better: float, task: str = "object", second: float | None = None, **changes: Any) -> None:
        own = {"experiment": folder.relative_to(config.runs_root).parts[0].split("-toy")[0], **git}
        settings = {"instructions": changes.pop("wordings", "val"), "seed": 0, "sampling": {task: {}}}
        write_evaluation(folder, (task,), better, second, settings=settings, **(own | changes))

    for experiment, better in (("joint", 0.2), ("task_embedding", 0.1)):
        for number, run in enumerate(then_new_task(config, experiment)):
            taken = better + number / 100
            hair = oracle_table("portraits", "face", hair_colour=taken)
            write(run / FOLDER, taken, "face", samples_seen=100, oracles=hair)
            untrained = oracle_table("portraits", "face", hair_colour=0.05)
            write(run / FOLDER / "start", 0.05, "face", samples_seen=0, step=0, weights="start", oracles=untrained)
    if not config.experiments:
        return
    joint, further = (run / FOLDER for run in seeds_of(config, "joint"))
    write(joint, 0.1, oracles=oracle_table("scenes", "style", style=0.8, place=0.12))
    write(further, 0.12)
    write(joint / "start", 0.3, weights="start", step=0, samples_seen=0)
    early = oracle_table("scenes", "style", style=0.6, place=0.6)
    write(joint / "step-00000005", 0.2, samples_seen=500, step=5, oracles=early)
    write(joint / "train", 0.11, wordings="train")
    write(joint / NOISES, 0.1, second=0.14)
    single = run_folder(config, "single_object") / FOLDER
    write(single, 0.105)
    write(single / "start", 0.3, weights="start", step=0, samples_seen=0)
    fixed = run_folder(config, "fixed_instruction") / FOLDER
    write(fixed, 0.1, wordings="fixed")
    write(fixed / "val", 0.06, oracles=oracle_table("scenes", "style", style=0.7, place=0.2))
