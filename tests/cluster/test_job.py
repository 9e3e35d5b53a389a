"""What becomes of a Slurm job whose processes ended."""

from pathlib import Path

import pytest

from ipai.cluster import job
from ipai.runs import outcome


@pytest.fixture
def requeued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    calls: list[str] = []
    monkeypatch.setattr(job.subprocess, "run", lambda command, **_: calls.append(" ".join(command)))
    return calls


@pytest.mark.parametrize(
    ("code", "again"), [(0, False), (138, True), (140, True), (143, False), (137, True), (1, True)]
)
def test_what_goes_back_into_the_queue(tmp_path: Path, requeued: list[str], code: int, again: bool) -> None:
    job.settle(tmp_path, code, "7", retries=3)
    assert requeued == (["scontrol requeue 7"] if again else [])


def test_a_run_that_crashes_at_one_place_is_given_up_with_the_reason(tmp_path: Path, requeued: list[str]) -> None:
    for _ in range(2):
        job.settle(tmp_path, 137, "7", retries=2)
    (tmp_path / "checkpoints" / "step-00000006").mkdir(parents=True)
    for _ in range(2):
        job.settle(tmp_path, 137, "7", retries=2)
    assert len(requeued) == 4
    assert job.settle(tmp_path, 137, "7", retries=2).startswith("failed: crashed 3 times at step 6")
    assert len(requeued) == 4
    end = outcome.read(tmp_path)
    assert end is not None
    assert end.reason.startswith("crashed 3 times at step 6, last with code 137")


def test_a_refusal_is_not_tried_again_and_keeps_its_own_reason(tmp_path: Path, requeued: list[str]) -> None:
    outcome.record(tmp_path, "failed", "the shards are gone\nand more")
    assert job.settle(tmp_path, job.MISUSE, "7", retries=3) == "failed: the shards are gone"
    assert not requeued
