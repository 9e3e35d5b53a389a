import json
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.errors import HydraException
from omegaconf import OmegaConf

from ipai.config import TrainingRun, parse, to_dict
from ipai.errors import ConfigError
from ipai.evaluation.config import ClipChoice
from ipai.evaluation.evaluated_run import read_run
from ipai.runs.run_folder import freeze_config
from ipai.schema import plain, typed
from tests.helpers.composing import CONF, compose, compose_raw

EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
RECIPES = sorted(path.stem for path in (CONF / "recipe").glob("*.yaml"))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_experiment_composes_with_every_recipe(experiment: str, recipe: str) -> None:
    config = compose(f"experiment={experiment}", f"recipe={recipe}", "data.root=shards")
    assert config.run == f"{experiment}-{recipe}"


def test_the_papers_numbers() -> None:
    """Paper section 4 and IP-Adapter's training, by inheritance."""
    config = compose("experiment=joint", "data.root=shards")
    train = config.train
    assert (train.batch_size, train.learning_rate, train.steps) == (512, 1e-6, 100_000)
    assert (train.weight_decay, train.schedule, config.objective["min_snr_gamma"]) == (0.01, "constant", None)
    assert (config.base.resolution, config.adapter.init_sigma) == (512, 1e-4)
    assert (config.data.drop.text, config.data.drop.image, config.data.drop.both) == (0.05, 0.05, 0.05)
    ablation = compose("experiment=single_style", "recipe=ablation", "data.root=shards").train
    assert (ablation.batch_size, ablation.learning_rate, ablation.steps) == (64, 1e-7, 100_000)


def test_an_experiment_with_a_recipe_of_its_own_yields_to_the_command_line() -> None:
    assert compose("experiment=joint_ablation", "data.root=shards").train.batch_size == 64
    assert compose("experiment=joint_ablation", "recipe=smoke", "data.root=shards").train.batch_size == 8
    assert compose("recipe=toy", "base=sd15", "data.root=shards").base.resolution == 512
    prx = compose("experiment=joint", "recipe=toy_prx", "data.root=shards")
    assert (prx.base.name, prx.objective["time_mean"], prx.data.weights["object"]) == ("toy-prx", 0.8, 3.0)


def test_an_unknown_key_is_refused_by_hydra_with_its_name() -> None:
    with pytest.raises(HydraException, match="stps"):
        compose("train.stps=3", "data.root=shards")


def test_an_unknown_key_in_a_file_is_refused_with_the_nearest() -> None:
    raw = OmegaConf.create({"train": {"learning_rat": 1.0}})
    with pytest.raises(ConfigError, match=r"no key train.learning_rat; did you mean train.learning_rate\?"):
        typed(raw, TrainingRun)


def test_a_missing_value_is_asked_for_by_key() -> None:
    with pytest.raises(ConfigError, match=r"data\.root="):
        compose("experiment=joint")


def test_a_wrong_type_is_refused_with_its_key() -> None:
    with pytest.raises(ConfigError, match=r"train\.steps"):
        compose("train.steps=many", "data.root=shards")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["adapter=ip_adapter_plus", "adapter.instruction=task_embedding"], "takes no instruction"),
        (["adapter=instruct_released", "adapter.instruction=pooled"], "adapter.instruction=tokens"),
        (["adapter.variant=sdxl"], "adapter.variant=sdxl is none of instruct"),
        (["base.dtype=fp16"], "base.dtype=bf16 or fp32"),
        (["train.batch_size=10", "launch.processes=4"], "nearest that fits is train.batch_size=8"),
        (["train.batch_size=10", "train.micro_batch_size=4"], "nearest that fits is train.batch_size=8"),
        (["train.learning_rate=0"], "train.learning_rate=0.0 must be above 0"),
        (["train.warmup_steps=1000000"], "longer than train.steps"),
        (["tasks=[colour]"], "tasks=colour is none of copy"),
        (["tasks=[copy,copy]"], "names one twice"),
        (["tasks=[]"], "tasks is empty"),
        (["data.weights.style=0"], "leave style out of tasks"),
        (["experiment=fixed_instruction", "~instructions.fixed.face"], "needs instructions.fixed.face"),
    ],
)
def test_impossible_combinations_are_refused_with_the_mend(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        compose("data.root=shards", *overrides)
    assert message in str(refusal.value)


def test_a_refusal_comes_before_anything_slow_is_imported() -> None:
    code = "import sys, ipai.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


FOREIGN = ["${oc.env:HOME}", r"\\${oc.env:HOME}", r"a\b${x}", "${", "$${x}", "no ${a} and ${b:c}", r"C:\\dir", "a\nb"]


@pytest.mark.parametrize("text", FOREIGN)
def test_foreign_values_are_taken_literally(text: str) -> None:
    raw = OmegaConf.create({"model": plain(text), "pretrained": None, "batch_size": 1})
    if "\n" in text:
        with pytest.raises(ConfigError, match="control character"):
            typed(raw, ClipChoice)
    else:
        assert typed(raw, ClipChoice).model == text


def test_what_comes_from_the_environment_is_not_written_down(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PLACE_OF_SECRETS", "hidden")
    config = compose("data.root=shards", "logger.project=${oc.env:PLACE_OF_SECRETS}", f"run={tmp_path}/run")
    assert config.logger.project == "hidden"
    (tmp_path / "run").mkdir()
    freeze_config(tmp_path / "run", config)
    text = (tmp_path / "run" / "config.yaml").read_text()
    assert "hidden" not in text
    assert "project: ${oc.env:PLACE_OF_SECRETS}" in text
    assert read_run(tmp_path / "run").logger.project == "${oc.env:PLACE_OF_SECRETS}"


def test_what_is_made_of_a_value_from_the_environment_is_not_written_down_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PLACE_OF_SECRETS", "hidden")
    overrides = [
        "data.root=shards",
        "base=sd15",
        "base.unet.id=${oc.env:PLACE_OF_SECRETS}",
        "data.cache=${base.unet.id}/x",
    ]
    config = compose(*overrides, "launch=slurm", "+launch.setup=['cd ${oc.env:PLACE_OF_SECRETS}',b]")
    assert config.base.vae.id == config.base.unet.id == "hidden"
    written = to_dict(config)
    assert "hidden" not in json.dumps(written)
    assert written["base"]["vae"]["id"] == "${..unet.id}"
    assert written["data"]["cache"] == "${base.unet.id}/x"
    assert written["launch"]["setup"] == ["cd ${oc.env:PLACE_OF_SECRETS}", "b"]


@pytest.mark.parametrize(
    "override",
    [
        '"run=a\\nb"',
        '"launch.account=a\\n#SBATCH --uid=0"',
        '"launch.setup=[a\\nb]"',
        '"data.cache=a\\x07"',
        '"data.root=a\\tb"',
    ],
)
def test_control_characters_are_refused_in_names_paths_and_launch_values(override: str) -> None:
    key, _, value = override.strip('"').partition("=")
    text = value.encode().decode("unicode_escape")
    raw = compose_raw("data.root=shards", "launch=slurm")
    OmegaConf.update(raw, key, [text] if key.endswith("setup") else text)
    with pytest.raises(ConfigError, match=f"{key}.*holds a control character"):
        parse(raw)
