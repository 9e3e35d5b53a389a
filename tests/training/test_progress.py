"""A log gets a line every half minute, and a last one."""

import logging
from collections.abc import Callable

import pytest

from ipai.config import TrainingRun
from ipai.training import progress as shown
from ipai.training.run import train


def test_a_log_gets_few_lines_with_rate_and_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ipai")
    now = iter(float(second) for second in range(0, 10_000, 10))
    monkeypatch.setattr(shown.time, "monotonic", lambda: next(now))
    with shown.progress(10, 4, shown=True) as lines:
        lines.set_postfix(loss="0.1234", refresh=False)
        for _ in range(6):
            lines.update()
    said = [record.message for record in caplog.records]
    assert 2 <= len(said) <= 4
    assert said[-1].startswith("step 10 of 10, loss 0.1234, ")
    assert said[-1].endswith("steps/s, 00:00 left")


def test_other_processes_say_nothing(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    caplog.set_level(logging.INFO, "ipai")
    with shown.progress(10, 0, shown=False) as nothing:
        nothing.update()
    assert not caplog.records
    assert capsys.readouterr() == ("", "")


def test_a_finished_run_says_where_it_is_and_what_comes_next(
    configure: Callable[..., TrainingRun], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ipai")
    config = configure()
    assert train(config) == 0
    assert f"the run: {config.run}" in caplog.text
    assert f"next: ipai evaluate run={config.run}" in caplog.text
