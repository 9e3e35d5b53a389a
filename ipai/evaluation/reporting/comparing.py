"""Several evaluations side by side: the paper's Table 1 for any set of runs, and paired differences with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import yaml
from scipy.stats import bootstrap, ttest_1samp

from ipai.errors import DataError
from ipai.evaluation.layout import FOLDER, PARQUET, SCORES
from ipai.evaluation.scoring.statistics import Row, by_sample
from ipai.records import RecordError, read_record
from ipai.tasks import TASKS, get_task

SINGLE = "single-task"
BASELINES = {"start": "step 0", "ip_adapter_plus": "IPAdapter+ (no instruction)", "instruct_pix2pix": "InstructPix2Pix"}
CONFIDENCE = 0.95
_SEEN = 0.01  # of a mean: the difference that an evaluation should be able to see
_POWER = 1.96 + 0.84  # standard errors between no difference and one that is seen in 80 % of all cases
_RESAMPLES = 10_000


@dataclass
class Line:
    """A row of the table: one evaluation, or the single-task runs together.

    Attributes:
        name: How the table calls it.
        scores: scores.json of each task.
        rows: Of scores.parquet, of all tasks.
        samples_seen: In training, of all its runs together.
    """

    name: str
    scores: dict[str, dict[str, Any]] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    samples_seen: int = 0


@dataclass(frozen=True)
class Difference:
    """A mean difference of paired samples, the first minus the second.

    Attributes:
        mean: Of the differences.
        low, high: A 95 % bootstrap interval of the mean; None for a single sample.
        n: Pairs.
        effect: The mean in standard deviations of the differences (Cohen's d of pairs); None where they do not vary.
        p: Of the mean being zero, by the t-test of pairs; None for a single sample.
        needed: Pairs that it takes to see a difference of 1 % of the second's mean, with a power of 80 % at a level of
            5 %; None where that cannot be told.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    effect: float | None = None
    p: float | None = None
    needed: int | None = None

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out zero; see `corrected` for several at once."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


def paper_rows() -> dict[str, dict[str, dict[str, float]]]:
    """The paper's Table 1: row -> task -> score."""
    rows: dict[str, dict[str, dict[str, float]]] = _paper()["rows"]
    return rows


def paper_source() -> str:
    """Where `paper_rows` comes from."""
    return str(_paper()["source"])


def read_lines(folders: Sequence[Path], baselines: bool = True) -> list[Line]:
    """A line for each run, those of single tasks in one, and the baselines that were evaluated in any of the runs.

    Args:
        folders: Run folders, or folders that hold a scores.json.
        baselines: False leaves the baselines out.

    Raises:
        DataError: One was not evaluated, or two single-task runs are of the same task.
    """
    lines: dict[str, Line] = {}
    for folder in folders:
        own = folder if (folder / SCORES).is_file() else folder / FOLDER
        scores, rows = read_evaluation(own)
        single = (scores["experiment"] or "").startswith("single_") and scores["weights"] not in BASELINES
        _add(lines, SINGLE if single else _name(folder, scores), scores, rows)
        for weights, name in BASELINES.items():
            if baselines and name not in lines and (own / weights / SCORES).is_file():
                _add(lines, name, *read_evaluation(own / weights))
    return list(lines.values())


_NEEDED = ("experiment", "weights", "samples_seen", "models", "tasks", "settings")


def read_evaluation(folder: Path) -> tuple[dict[str, Any], list[Row]]:
    """scores.json and the rows of scores.parquet.

    Raises:
        DataError: They are missing or damaged.
    """
    try:
        scores = read_record(folder / SCORES, dict[str, Any])
        lacking = [key for key in _NEEDED if key not in scores]
        if lacking:
            raise RecordError(f"{SCORES} lacks {', '.join(lacking)}")
        return scores, pyarrow.parquet.read_table(folder / PARQUET).to_pylist()
    except (OSError, ValueError) as error:
        raise DataError(
            f"{folder} holds no evaluation ({error}); make it with python scripts/evaluate.py run={folder.parent}"
        ) from error


def difference(first: Line, second: Line, task: str, score: str, seed: int = 0) -> Difference | None:
    """The paired difference of two lines; None where one of them lacks the task or the score.

    Raises:
        DataError: They were not asked the same questions, or were scored by different CLIPs.
    """
    if task not in first.scores or task not in second.scores:
        return None
    _refuse_other_questions(first, second, task)
    ours, theirs = (by_sample(line.rows, task, score) for line in (first, second))
    if not ours or not theirs:
        return None
    first_values, second_values = (np.array(list(values.values())) for values in (ours, theirs))
    return paired(first_values - second_values, seed, float(second_values.mean()))


def paired(differences: np.ndarray, seed: int = 0, reference: float = 0.0) -> Difference:
    """The mean of differences [N] with its interval: the percentiles of 10,000 resamples.

    Args:
        differences: Of paired samples.
        seed: Of the resamples.
        reference: The mean of which 1 % is to be seen.
    """
    if len(differences) < 2:
        return Difference(float(differences.mean()), None, None, len(differences))
    found = bootstrap(
        (differences,), np.mean, n_resamples=_RESAMPLES, confidence_level=CONFIDENCE, method="percentile",
        rng=np.random.default_rng(seed), batch=1000,
    ).confidence_interval  # fmt: skip
    mean, spread = float(differences.mean()), float(differences.std(ddof=1))
    effect = mean / spread if spread else None
    p = float(ttest_1samp(differences, 0.0).pvalue) if spread else float(mean == 0)
    needed = ceil((_POWER * spread / (_SEEN * reference)) ** 2) if reference else None
    return Difference(mean, float(found.low), float(found.high), len(differences), effect, p, needed)


def corrected(found: Sequence[Difference | None]) -> list[bool]:
    """Which of several differences are there, corrected for their number (Holm, 1979) at a level of 5 %."""
    ranked = sorted((one.p, place) for place, one in enumerate(found) if one is not None and one.p is not None)
    result = [False] * len(found)
    for rank, (p, place) in enumerate(ranked):
        if p > (1 - CONFIDENCE) / (len(ranked) - rank):
            break
        result[place] = True
    return result


def columns() -> list[tuple[str, str]]:
    """Task and score of each column of Table 1."""
    return [(task, score) for task in TASKS for score in get_task(task).scores]


def _paper() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(files("ipai.evaluation").joinpath("paper_table1.yaml").read_text("utf-8"))
    return content


def _name(folder: Path, scores: dict[str, Any]) -> str:
    variant = "" if scores["weights"] == "ema" else f" ({scores['weights']})"
    wordings = scores["settings"]["instructions"]
    return f"{scores['run'] or folder.name}{variant}" + ("" if wordings == "val" else f", {wordings} instructions")


def _add(lines: dict[str, Line], name: str, scores: dict[str, Any], rows: list[Row]) -> None:
    line = lines.setdefault(name, Line(name))
    twice = sorted(set(line.scores) & set(scores["tasks"]))
    if twice:
        raise DataError(f"{name} would hold {', '.join(twice)} twice; leave one of the runs out")
    line.scores |= dict.fromkeys(scores["tasks"], scores)
    line.rows += rows
    line.samples_seen += scores["samples_seen"]


def _refuse_other_questions(first: Line, second: Line, task: str) -> None:
    asked = []
    for line in (first, second):
        scores = line.scores[task]
        settings = scores["settings"]
        seeds = {(row["key"], row["number"], row["prompt"]): row["seed"] for row in line.rows if row["task"] == task}
        drawn = {"base": scores["base"], "sampling": settings["sampling"][task], "dtype": settings.get("dtype")}
        asked.append({"clip": scores["models"]["clip"], **drawn, "samples": seeds})
    one, other = asked
    # Evaluations of before do not say in which precision they drew.
    differing = [name for name in one if one[name] != other[name] and None not in (one[name], other[name])]
    if differing:
        raise DataError(
            f"{first.name} and {second.name} were not evaluated alike for {task} ({', '.join(differing)} differ), so "
            "their difference says nothing; evaluate both with the same settings and data"
        )
