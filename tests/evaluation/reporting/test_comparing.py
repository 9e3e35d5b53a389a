"""Comparisons of evaluations that are written here, so that every difference is known."""

import json
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from scipy.stats import ttest_1samp

from ipai.errors import DataError
from ipai.evaluation.reporting.comparing import (
    Difference,
    columns,
    corrected,
    difference,
    paired,
    paper_rows,
    paper_source,
    read_lines,
)
from ipai.evaluation.reporting.comparison_page import as_data, compared
from tests.helpers.evaluations import write_evaluation
from tests.integration.conftest import run


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    write_evaluation(tmp_path / "joint" / "evaluation", ("object", "face"), 0.1)
    write_evaluation(tmp_path / "joint" / "evaluation" / "start", ("object", "face"), 0.0, weights="start", step=0)
    write_evaluation(tmp_path / "single_object" / "evaluation", ("object",), 0.07)
    write_evaluation(tmp_path / "single_face" / "evaluation", ("face",), 0.1)
    return [tmp_path / name for name in ("joint", "single_object", "single_face")]


def test_the_paper_s_rows_are_those_of_its_table() -> None:
    rows = paper_rows()
    assert list(rows) == ["single-task", "joint", "fixed instruction"]
    assert all(set(of[task]) for of in rows.values() for task, _ in columns())
    assert all(score in of[task] for of in rows.values() for task, score in columns())
    assert (rows["joint"]["style"]["clip_s"], rows["single-task"]["copy"]["clip_i"]) == (1.1171, 0.9152)
    assert "2408.03209" in paper_source()


def test_single_tasks_make_one_row_and_baselines_have_theirs(runs: list[Path]) -> None:
    lines = read_lines(runs)
    assert [line.name for line in lines] == ["joint", "step 0", "single-task"]
    assert [line.samples_seen for line in lines] == [1000, 1000, 2000]
    beside = compared(lines)
    text = beside.markdown()
    assert "the paper's joint" in text
    assert "0.8040" in text
    assert "copy" not in text.split("\n\n")[2].splitlines()[0]  # no run has it
    found = as_data(lines)["reference_minus"]
    assert found["single-task"]["object/clip_i"]["mean"] == pytest.approx(0.03)
    assert found["single-task"]["face/clip_i"]["mean"] == pytest.approx(0.0)
    assert found["step 0"]["face/clip_i"]["mean"] == pytest.approx(0.1)
    assert "**+0.0300" in text  # clear of zero
    assert "**+0.0000" not in text
    page = beside.page()
    assert '<td class="clear">+0.0300' in page
    assert '<td class="clear">+0.0000' not in page


def test_pairing_takes_out_what_the_samples_share(runs: list[Path]) -> None:
    joint, _, single = read_lines(runs)
    found = difference(joint, single, "object", "clip_i")
    assert found is not None
    assert found.clear
    assert found.high - found.low < 0.01 < joint.scores["object"]["tasks"]["object"]["clip_i"]["standard_error"]


def test_the_interval_is_the_normal_one_for_many_samples_and_has_its_coverage() -> None:
    generator = np.random.default_rng(1)
    values = generator.normal(0.2, 1.0, 2000)
    found = paired(values)
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.08 * half)
    assert paired(values) == found  # the same every time
    hits = sum(one.low <= 0 <= one.high for one in (paired(generator.normal(0, 1, 50), seed) for seed in range(120)))
    assert 0.87 < hits / 120 <= 1
    assert paired(np.array([0.5])).low is None


def test_what_was_not_asked_alike_is_refused(runs: list[Path], tmp_path: Path) -> None:
    write_evaluation(tmp_path / "other" / "evaluation", ("object",), 0.0, models={"clip": "another"})
    with pytest.raises(DataError, match=r"not evaluated alike for object \(clip differ"):
        compared(read_lines([runs[0], tmp_path / "other"]))
    sampling = {"instructions": "val", "sampling": {"object": {"scale": 1.0}}}
    for name, dtype in (("full", "float32"), ("half", "bfloat16")):
        write_evaluation(tmp_path / name / "evaluation", ("object",), 0.0, settings={**sampling, "dtype": dtype})
    with pytest.raises(DataError, match=r"not evaluated alike for object \(dtype differ"):
        compared(read_lines([tmp_path / "full", tmp_path / "half"]))
    compared(read_lines([runs[0], tmp_path / "half"]))  # an evaluation of before, which does not say its precision
    with pytest.raises(DataError, match="single-task would hold object twice"):
        read_lines([*runs, runs[1]])
    with pytest.raises(DataError, match=r"scripts/evaluate.py run="):
        read_lines([tmp_path / "nothing"])


def test_the_command_writes_both_forms(runs: list[Path], tmp_path: Path) -> None:
    done = run("scripts/compare.py", *map(str, runs), "--output", str(tmp_path / "out"))
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "out.md").read_text().strip() in done.stdout
    assert "minus the others" in (tmp_path / "out.html").read_text()
    assert json.loads((tmp_path / "out.json").read_text())["reference"] == "joint"


def test_effects_needed_samples_and_corrections_have_their_closed_forms() -> None:
    values = np.random.default_rng(2).normal(0.3, 1.0, 400)
    found = paired(values, reference=5.0)
    assert found.effect == pytest.approx(values.mean() / values.std(ddof=1))
    assert found.p == pytest.approx(ttest_1samp(values, 0).pvalue)
    # 2.8 standard errors of the mean are 1 % of 5.0 with so many pairs.
    assert found.needed == pytest.approx((2.8 * values.std(ddof=1) / 0.05) ** 2, abs=1)
    alike = paired(np.full(10, 0.2), reference=1.0)
    assert (alike.effect, alike.p, alike.needed) == (None, 0.0, 0)
    assert paired(np.zeros(10)).p == 1.0
    assert paired(np.zeros(10)).needed is None


def test_of_many_columns_a_small_p_must_be_smaller() -> None:
    def of(*ps: float | None) -> list[bool]:
        return corrected([None if p is None else Difference(0.1, 0.0, 0.2, 9, p=p) for p in ps])

    assert of(0.04) == [True]
    assert of(0.04, 0.5, 0.9) == [False, False, False]
    assert of(0.9, 0.01, None, 0.02) == [False, True, False, True]
    assert of(0.001, 0.026, 0.026) == [True, False, False]  # the second of three must lie below 5 % / 2


def test_too_few_samples_are_named(tmp_path: Path) -> None:
    write_evaluation(tmp_path / "a" / "evaluation", ("object",), 0.1)
    write_evaluation(tmp_path / "b" / "evaluation", ("object",), 0.0)
    rows = pyarrow.parquet.read_table(tmp_path / "b" / "evaluation" / "scores.parquet").to_pylist()
    shuffled = [{**row, "clip_i": other["clip_i"]} for row, other in zip(rows, rows[::-1], strict=True)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(shuffled), tmp_path / "b" / "evaluation" / "scores.parquet")
    beside = compared(read_lines([tmp_path / "a", tmp_path / "b"]))
    assert len(beside.few) == 1
    assert beside.few[0].startswith("object CLIP-I has 40 of ")
    assert beside.few[0] in beside.markdown()
    assert beside.few[0] in beside.page()
