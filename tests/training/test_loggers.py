import json
import logging
from pathlib import Path

import pytest

from ipai.config import LoggerConfig
from ipai.errors import ConfigError
from ipai.training import loggers
from ipai.training.loggers import JsonLines, WandbLogger, last_logged, wandb_id


def test_the_last_whole_line_says_how_far_an_earlier_start_came(tmp_path: Path) -> None:
    assert last_logged(tmp_path) == -1
    log = JsonLines(tmp_path, -1)
    for seen in (8, 16):
        log.log(seen, {"loss": float(seen)})
    log.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"samples_se')
    assert last_logged(tmp_path) == 16


class Sink:
    """Stands for a wandb run."""

    def __init__(self) -> None:
        self.lines: list[int] = []

    def log(self, values: dict[str, int]) -> None:
        self.lines.append(values["samples_seen"])


def test_a_requeued_run_sends_no_step_twice_and_none_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = Sink()
    for first, stop in ((1, 6), (4, 9)):  # killed after 5 lines, resumed from a checkpoint at 3
        until = last_logged(tmp_path)
        file = JsonLines(tmp_path, first - 1)
        wandb = object.__new__(WandbLogger)
        wandb.run, wandb._logged_until = sink, until
        for seen in range(first, stop):
            file.log(seen, {})
            wandb.log(seen, {})
        file.close()
    assert sink.lines == list(range(1, 9))
    assert [json.loads(line)["samples_seen"] for line in (tmp_path / "metrics.jsonl").open()] == list(range(1, 9))


def test_an_unreachable_server_makes_the_start_an_offline_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    monkeypatch.setattr(loggers, "_PATIENCE_S", 2)
    with caplog.at_level(logging.INFO, logger="ipai"):
        log = WandbLogger(LoggerConfig(wandb="online"), tmp_path, "abcd", {})
        log.log(8, {"loss": 1.0})
        log.close()
    assert "cannot be reached" in caplog.text
    assert f"wandb sync {tmp_path}/wandb/offline-run-" in caplog.text
    assert list(tmp_path.glob("wandb/offline-run-*-abcd/run-abcd.wandb"))


def test_a_wandb_id_that_is_a_path_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_RUN_ID", "../x")
    with pytest.raises(ConfigError, match=r"WANDB_RUN_ID='\.\./x' is no id"):
        wandb_id(tmp_path)
    monkeypatch.setenv("WANDB_RUN_ID", "trial-7")
    assert wandb_id(tmp_path) == "trial-7"
    (tmp_path / "wandb" / "run_id").write_text("../x")
    with pytest.raises(ConfigError, match="remove that file"):
        wandb_id(tmp_path)
