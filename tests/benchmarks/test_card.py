"""The page of one GPU, with benchmarks that take no time."""

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.card import PARTS, card_name, write_card
from benchmarks.options import Options
from benchmarks.report import Report
from ipai.errors import ConfigError

OPTIONS = Options(quick=True, work=Path("unused"), rounds=2, repeats=1, batch_size=2)


def test_every_part_is_measured_with_its_own_options_and_written(tmp_path: Path) -> None:
    asked: list[tuple[str, Options]] = []

    def measure(part: str, options: Options) -> Report:
        asked.append((part, options))
        if part == "loader":
            raise torch.cuda.OutOfMemoryError("too large")
        return Report(part, True, [{"step": "ours", "samples/s": 12.0}])

    write_card("a-card", OPTIONS, 8, tmp_path / "page.md", measure)
    assert asked == [(part, replace(OPTIONS, rounds=1, **changes)) for part, changes in PARTS]
    page = (tmp_path / "page.md").read_text()
    assert page.count("| ours | 12 |") == len(PARTS) - 1
    assert "## loader --batch-size 8\n\nNot measured: too large" in page


def test_no_part_is_begun_when_the_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def measure(part: str, options: Options) -> Report:
        now[0] += 70.0
        return Report(part, True, [{"step": "ours"}])

    write_card("a-card", OPTIONS, 2, tmp_path / "page.md", measure)
    page = (tmp_path / "page.md").read_text()
    assert page.count("| ours |") == 2
    assert page.count("Not measured: the 2 minutes were over.") == len(PARTS) - 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="of machines without a GPU")
def test_without_a_gpu_it_says_so() -> None:
    with pytest.raises(ConfigError, match="there is no GPU"):
        card_name()
