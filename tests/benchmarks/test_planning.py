"""Plans of long lists: that each builder takes the lists for its source, and what is counted."""

from pathlib import Path

import pytest

from benchmarks import planning
from benchmarks.options import Options
from ipai.errors import IpaiError


@pytest.mark.slow
def test_every_builder_plans_its_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "_FEW", 1900)
    report = planning.measure(Options(True, tmp_path, rounds=1, repeats=0, batch_size=1), lambda: None)
    rows = {row["plan"]: row for row in report.rows}
    assert list(rows) == list(planning.CONTESTANTS)
    assert {name: row["candidates"] for name, row in rows.items()} == dict.fromkeys(rows, "1,900")
    assert rows["face"]["planned"] == "1,900"
    assert rows["object"]["planned"] == str(1900 // 7)  # one a photograph
    assert all(row["CPU s"] > 0 for row in report.rows)
    assert all(20 < rows[name]["MiB"] < 1000 for name in planning._WORDS)
    with pytest.raises(IpaiError, match="ended with 2"):
        planning._plan(planning._WORDS["copy"], tmp_path / "nowhere")
