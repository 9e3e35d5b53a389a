import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ipai.cluster import overview
from ipai.cluster.queue import QueuedJob, queued_jobs
from ipai.config import to_dict
from ipai.errors import CheckpointError
from ipai.files import held_alone
from ipai.runs import outcome
from tests.helpers.composing import compose


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run of 200 steps of 8 samples, half way through."""
    folder = tmp_path / "joint-smoke"
    folder.mkdir()
    config = to_dict(compose("recipe=smoke", "data.root=shards"))
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    lines: list[dict[str, Any]] = [
        {"samples_seen": 792, "validation/loss": 0.5},
        {"samples_seen": 800, "loss/train": 0.25, "speed/samples_per_s": 4.0},
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"samples_s')
    return folder


def status(folder: Path, job: QueuedJob | None = None) -> overview.RunStatus:
    config = yaml.safe_load((folder / "config.yaml").read_text())
    return overview.status_of(folder, folder.name, config, job)


def test_a_run_that_is_held_runs_and_says_when_it_will_be_done(folder: Path) -> None:
    with held_alone(folder, CheckpointError("busy")):
        run = status(folder)
    assert (run.state, run.samples_seen, run.samples_total, run.rate) == ("running", 800, 1600, 4.0)
    assert run.remaining_s == 200
    assert run.scores == {"loss/train": 0.25, "validation/loss": 0.5}
    assert "(50 %)" in overview.table([run], now=0)


def test_a_dead_run_has_failed_and_its_reason_is_shown(folder: Path) -> None:
    assert status(folder).state == "failed"
    assert "without a word" in status(folder).why
    outcome.record(folder, "failed", "no room on disk\nlong story")
    outcome.record(folder, "failed", "a peer was lost")  # what the other processes say later
    assert (status(folder).state, status(folder).why) == ("failed", "no room on disk")
    assert "joint-smoke: no room on disk\n1 failed" in overview.table([status(folder)], now=0)


def test_a_job_in_the_queue_waits(folder: Path) -> None:
    run = status(folder, QueuedJob("12", "PENDING", "Resources"))
    assert (run.state, run.why, run.job_id) == ("waiting", "in the queue: Resources", "12")


def test_the_survey_leaves_out_frozen_code_and_other_files(folder: Path) -> None:
    (folder / "code" / "conf").mkdir(parents=True)
    (folder / "code" / "conf" / "config.yaml").write_text("train: {}")
    (folder.parent / "config.yaml").write_text("no: run")
    outcome.record(folder, "finished", "finished")
    assert [(run.name, run.state) for run in overview.survey(folder.parent)] == [("joint-smoke", "finished")]


def test_without_slurm_there_is_no_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert queued_jobs() is None
