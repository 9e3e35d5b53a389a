"""`make reproduce-toy` from sources to the page and its figures, with a handful of pictures and steps of two."""

from pathlib import Path

import pytest

from tests.integration.conftest import run

pytestmark = pytest.mark.long

FEW = (
    'build_datasets=["limit=30"]',
    'train=["train.steps=4","checkpoint.every=2","validation.every=2","validation.samples=2","validation.images=0"]',
    'evaluate=["steps=2"]',
    *("samples=60", "limit=4", "oracles=4", "new_task_steps=2", "at_once=2", "more_seeds=[1]", "curve=[style]"),
    "experiments=[joint,single_style,fixed_instruction]",
)


def test_the_page_and_its_figures_come_of_the_real_commands(tmp_path: Path) -> None:
    places = {
        "sources": tmp_path / "sources", "shards": tmp_path / "shards", "runs_root": tmp_path / "runs",
        "output": tmp_path / "results.md", "figures": tmp_path / "figures",
    }  # fmt: skip
    command = ("scripts/reproduce_toy.py", *(f"{name}={place}" for name, place in places.items()), *FEW)
    done = run(*command, timeout_s=1800)
    assert done.returncode == 0, done.stdout[-3000:]
    page = places["output"].read_text()
    assert "| claim | answer | measured |" in page
    assert "single-task" in page
    assert "How much a training seed changes" in page
    drawn = sorted(path.name for path in places["figures"].glob("*.png"))
    assert drawn == [f"figure-{number}.png" for number in (4, 6, 7, 9)]
    again = run(*command, timeout_s=600)
    assert again.returncode == 0, again.stdout[-3000:]
    assert "python scripts/evaluate.py" not in again.stdout
    assert "python scripts/figures.py" not in again.stdout
    assert places["output"].read_text() == page
