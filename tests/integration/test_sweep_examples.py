"""The sweep examples call the real command with keys that exist."""

import importlib.util
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

from ipai.training.loggers import wandb_id
from tests.helpers.composing import compose
from tests.integration.conftest import REPOSITORY

SWEEPS = REPOSITORY / "examples" / "sweeps"


def values_of(parameter: dict[str, Any]) -> list[Any]:
    """All choices, or the ends of a range."""
    return parameter.get("values") or [parameter["min"], parameter["max"]]


def wandb_words(sweep: dict[str, Any], choose: int) -> list[str]:
    """What an agent puts behind `train.py`."""
    chosen = {key: {"value": values_of(parameter)[choose]} for key, parameter in sweep["parameters"].items()}
    command = sweep["command"]
    words = command[command.index("${program}") + 1 :]
    place = words.index("${args_no_hyphens}")
    return [*words[:place], *create_sweep_command_args({"args": chosen})["args_no_hyphens"], *words[place + 1 :]]


def test_the_wandb_sweep_composes_runs_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sweep = yaml.safe_load((SWEEPS / "wandb.yaml").read_text(encoding="utf-8"))
    monkeypatch.setenv("WANDB_RUN_ID", "abc123")
    first, last = (compose(*wandb_words(sweep, choose)) for choose in (0, -1))
    assert first.run == last.run == "sweep-abc123"
    assert first.train != last.train
    assert first.data.drop.instruction_with_image != last.data.drop.instruction_with_image
    assert wandb_id(tmp_path) == "abc123"  # or the agent would not find its trial
    assert (REPOSITORY / sweep["program"]).exists()


@pytest.fixture
def optuna_search() -> ModuleType:
    spec = importlib.util.spec_from_file_location("optuna_search", SWEEPS / "optuna_search.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Trial:
    """Answers as Optuna's trials do, with the last choice."""

    number = 7

    def suggest_float(self, name: str, low: float, high: float, log: bool = False) -> float:
        return math.sqrt(low * high)

    def suggest_categorical(self, name: str, choices: list[Any]) -> Any:
        return choices[-1]


def test_an_optuna_trial_composes_a_run_of_its_own(optuna_search: ModuleType) -> None:
    config = compose("experiment=joint", "recipe=toy", *optuna_search.overrides(Trial()))
    assert (config.run, config.objective["timestep_power"]) == ("optuna-0007", 2.0)


@pytest.mark.slow
def test_both_minimise_a_number_that_runs_write(undisturbed: Path, optuna_search: ModuleType) -> None:
    folder = undisturbed.parents[1]
    assert optuna_search.last_loss(folder) > 0
    sweep = yaml.safe_load((SWEEPS / "wandb.yaml").read_text(encoding="utf-8"))
    assert f'"{sweep["metric"]["name"]}"' in (folder / "metrics.jsonl").read_text(encoding="utf-8")
