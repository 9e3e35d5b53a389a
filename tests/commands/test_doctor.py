"""`ipai doctor` on machines that lack something."""

from pathlib import Path

import pytest

from ipai.commands import findings as doctor
from ipai.commands.findings import Finding, findings
from tests.helpers.composing import compose
from tests.helpers.shard_writer import write_shards


def named(*words: str) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings(compose(*words))}


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    for split in ("train", "val"):
        write_shards(tmp_path, "style", 2, split=split, size=64)
    return tmp_path


def test_a_run_that_can_start_has_nothing_to_mend(shards: Path) -> None:
    found = named(
        "experiment=single_style", "recipe=smoke", f"data.root={shards}", "logger=none", f"runs_root={shards}"
    )
    assert [finding for finding in found.values() if finding.state == "mend"] == []
    assert found["shards style"].what == "2 train, 2 val"
    assert found["weights"].state == "ok"


def test_missing_shards_and_weights_are_to_be_mended(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_hub_answers", lambda: False)
    found = named("tasks=[style,face]", f"data.root={shards}", f"base.unet.id={shards}/nothing")
    assert found["shards style"].state == "ok"
    assert found["shards face"].state == "mend"
    assert "no shards" in found["shards face"].what
    assert found["weights"].state == "mend"
    assert "unet" in found["weights"].what
    assert found["wandb"].state == "warning"


def test_what_the_hub_has_is_only_said(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_hub_answers", lambda: True)
    found = named("experiment=single_style", f"data.root={shards}", "base=sdxl")
    assert found["weights"].state == "warning"
    assert "text_encoder_2" in found["weights"].what


def test_slurm_needs_sbatch(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert named("launch=slurm", f"data.root={shards}", "recipe=smoke")["slurm"].state == "mend"


@pytest.mark.parametrize("free", [0.06, 8.0])
def test_little_shared_memory_is_a_warning(shards: Path, monkeypatch: pytest.MonkeyPatch, free: float) -> None:
    usage = type("Usage", (), {"free": free * 1e9})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    found = named("recipe=smoke", f"data.root={shards}", "data.workers=4")
    assert found["shared memory"].state == ("warning" if free < 1 else "ok")
