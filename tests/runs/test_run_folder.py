import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ipai.backbones.config import FAMILIES
from ipai.config import TrainingRun, to_dict
from ipai.errors import CheckpointError, ConfigError
from ipai.evaluation.evaluated_run import read_run
from ipai.runs.run_folder import folder_of, freeze_config, locked, upgraded, write_environment
from tests.helpers.composing import CONF, compose


def config(*overrides: str) -> TrainingRun:
    return compose("experiment=joint", "recipe=smoke", "data.root=shards", *overrides)


def test_the_folder_is_named_after_experiment_and_recipe() -> None:
    assert folder_of(config()) == Path("runs/joint-smoke")
    assert folder_of(config("run=spine")) == Path("runs/spine")
    assert folder_of(config("run=elsewhere/spine")) == Path("elsewhere/spine")


def test_the_same_configuration_continues(tmp_path: Path) -> None:
    freeze_config(tmp_path, config())
    (tmp_path / "checkpoints" / "step-00000001").mkdir(parents=True)
    freeze_config(tmp_path, config("launch.processes=2", "train.micro_batch_size=2", "checkpoint.every=7"))


def test_another_configuration_is_refused_with_the_difference(tmp_path: Path) -> None:
    freeze_config(tmp_path, config())
    (tmp_path / "checkpoints" / "step-00000001").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"train.seed: 0 -> 1(.|\n)*run=NAME"):
        freeze_config(tmp_path, config("train.seed=1"))


def test_a_run_without_a_checkpoint_may_start_anew(tmp_path: Path) -> None:
    freeze_config(tmp_path, config())
    freeze_config(tmp_path, config("train.seed=1"))
    assert "seed: 1" in (tmp_path / "config.yaml").read_text()


def test_a_second_writer_is_refused_and_a_dead_one_forgotten(tmp_path: Path) -> None:
    code = (
        f"import time; from pathlib import Path; from ipai.runs.run_folder import locked\n"
        f"with locked(Path({str(tmp_path)!r})): print('held', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(CheckpointError, match="another process"), locked(tmp_path):
            pass
        holder.kill()
        holder.wait()
    with locked(tmp_path):
        pass


def test_the_environment_holds_versions_and_no_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "very-secret")
    write_environment(tmp_path, processes=1)
    text = (tmp_path / "environment.json").read_text()
    assert "torch" in json.loads(text)["packages"]
    assert "very-secret" not in text


def test_a_configuration_of_the_version_before_has_its_keys_moved(tmp_path: Path) -> None:
    """Its objective's settings were among those of the training; the run goes on and is evaluated as it was."""
    now = config("objective.timestep_power=2.0", "objective.min_snr_gamma=5.0")
    frozen = to_dict(now)
    moved = {key: frozen["objective"][key] for key in ("timestep_power", "min_snr_gamma")}
    del frozen["objective"]
    frozen["train"] |= moved
    (tmp_path / "checkpoints" / "step-00000001").mkdir(parents=True)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(frozen))
    freeze_config(tmp_path, now)
    assert read_run(tmp_path).objective == {"name": "epsilon", **moved}
    with pytest.raises(ConfigError, match=r"objective\.timestep_power: 2\.0 -> 1\.0"):
        freeze_config(tmp_path, config("objective.min_snr_gamma=5.0"))


def test_a_run_of_before_bases_had_their_own_guidance_is_told_how_to_go_on(tmp_path: Path) -> None:
    """Its validation pictures are drawn with 5, which every base had."""
    words = ("base=micro_flux", "objective=flow")
    freeze_config(tmp_path, config(*words, "validation.guidance_scale=5.0"))
    (tmp_path / "checkpoints" / "step-00000001").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"to go on give validation\.guidance_scale=5\.0"):
        freeze_config(tmp_path, config(*words))


def test_bases_of_the_version_before_are_drawn_with_their_familys_guidance() -> None:
    assert [upgraded({"base": base})["base"]["guidance_scale"] for base in ({}, {"family": "flux"})] == [5.0, 1.0]
    for path in sorted((CONF / "base").glob("*.yaml")):
        said = yaml.safe_load(path.read_text())
        assert said["guidance_scale"] == FAMILIES[said["family"]].guidance_scale, path.name
