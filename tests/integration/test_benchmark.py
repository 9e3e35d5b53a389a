"""`scripts/benchmark.py` in its short form."""

import json
from pathlib import Path

import pytest

from tests.integration.conftest import run

pytestmark = pytest.mark.slow

BRIEF = ("--quick", "--rounds", "1", "--repeats", "1")


@pytest.mark.long
def test_builders_are_compared_with_a_plain_loop(tmp_path: Path) -> None:
    names = ("object: plain loop", "object: engine, 1 worker")
    done = run(
        "scripts/benchmark.py", "builders", *BRIEF, "--work", str(tmp_path), "--output", str(tmp_path / "b.json"),
        "--only", *names,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    rows = {row["builder"]: row for row in json.loads((tmp_path / "b.json").read_text())["rows"]}
    assert set(names) <= set(rows)
    plain, engine = (rows[name] for name in names)
    assert plain["times the plain loop"] == 1
    assert engine["times the plain loop"] == pytest.approx(engine["samples/s"] / plain["samples/s"])
    assert not (tmp_path / "built").exists()


@pytest.mark.long
def test_our_loader_is_compared_with_a_plain_one(tmp_path: Path) -> None:
    names = ("plain, 0 workers", "ours, VAE cached, 0 workers")
    done = run(
        "scripts/benchmark.py", "loader", *BRIEF, "--batch-size", "8", "--work", str(tmp_path),
        "--output", str(tmp_path / "l.json"), "--only", *names,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    plain, ours = json.loads((tmp_path / "l.json").read_text())["rows"]
    assert (plain["loader"], ours["loader"]) == names
    # Far below what is measured on a free machine (2.7), so that only a loader that lost its speed fails.
    assert ours["by processor time"] > 1.2


@pytest.mark.long
def test_starts_are_timed_up_to_their_first_step(tmp_path: Path) -> None:
    done = run(
        "scripts/benchmark.py", "resume", *BRIEF, "--work", str(tmp_path), "--output", str(tmp_path / "r.json"),
        "--only", "at sample 10 million",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    new, late = json.loads((tmp_path / "r.json").read_text())["rows"]
    assert new["s to the first step"] > 1  # imports alone take that
    assert late["s to the first step"] > 1
    assert late["times that at sample 10"] is None  # it was not measured
    assert not (tmp_path / "resume" / "run").exists()


@pytest.mark.long
def test_drawing_with_the_adapter_is_compared_with_drawing_without(tmp_path: Path) -> None:
    done = run(
        "scripts/benchmark.py", "generate", *BRIEF, "--work", str(tmp_path), "--output", str(tmp_path / "g.json"),
        "--only", "diffusers' IP-Adapter+", "ours",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    plain, theirs, ours = json.loads((tmp_path / "g.json").read_text())["rows"]
    assert (plain["pipeline"], ours["pipeline"]) == ("no adapter", "ours")
    assert ours["speed to diffusers' IP-Adapter+"] == pytest.approx(theirs["s a picture"] / ours["s a picture"])
    assert "RANDOM" in done.stdout or "Random weights" in done.stdout
