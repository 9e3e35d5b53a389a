"""A build scores what it made, once, and its shards do not depend on it."""

import json
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from data_builders import command
from ipai.errors import WeightsError
from ipai.evaluation.scoring import shard_scorers
from tests.helpers.building import ROOT, digests

SCORES = ("scores.names=[clip_s,sharpness]", "scores.clip=toy")


def run(output: Path, *overrides: str) -> None:
    words = ["task=rendered_style", "samples=12", "executor.workers=1", f"output={output}", *overrides]
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf" / "build")):
        command.run(compose("build_datasets", overrides=words))


def test_finished_shards_are_scored_and_never_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "plain")
    run(tmp_path / "out", *SCORES)
    said = capsys.readouterr().out
    assert "style scores, after the build: clip_s, sharpness" in said
    assert "style scores: clip_s of 12, sharpness of 12; samples: 12, of them cannot be read: 0" in said
    scored = json.loads((tmp_path / "out/style/train-000000.scores").read_text())
    assert {name: len(values) for name, values in scored["values"].items()} == {"clip_s": 11, "sharpness": 11}
    made = digests(tmp_path / "out/style")
    assert {name: digest for name, digest in made.items() if not name.endswith(".scores")}.keys() == digests(
        tmp_path / "plain/style"
    ).keys()
    for name in ("train-000000.tar", "val-000000.tar"):
        assert made[name] == digests(tmp_path / "plain/style")[name]
    monkeypatch.setattr(shard_scorers, "_usable", None)  # nothing is read again
    run(tmp_path / "out", *SCORES)
    run(tmp_path / "out")
    assert digests(tmp_path / "out/style") == made


def test_a_model_that_is_not_there_costs_the_scores_and_not_the_shards(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"the shards are done, but not scored: cannot find .*scores\.names"):
        run(tmp_path, "+scores.classifiers.nsfw={id: /nowhere, label: nsfw}")
    assert len(list(tmp_path.rglob("*.tar"))) == 2
