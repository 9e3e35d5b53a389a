from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from ipai.backbones.config import BaseConfig, WeightsRef, config_problems, guidance_of
from ipai.backbones.families import load_base
from ipai.backbones.micro import micro_config
from ipai.errors import ConfigError
from ipai.tasks import TASKS

CONF = Path(__file__).parents[2] / "conf" / "base"


def read(name: str, **changes: Any) -> BaseConfig:
    merged = OmegaConf.merge(OmegaConf.structured(BaseConfig), OmegaConf.load(CONF / name), OmegaConf.create(changes))
    config = OmegaConf.to_object(merged)
    assert isinstance(config, BaseConfig)
    return config


def test_micro_yaml_says_what_micro_config_says() -> None:
    assert read("micro.yaml") == micro_config()


def test_sd15_yaml_is_complete_and_works() -> None:
    config = read("sd15.yaml")
    assert list(config_problems(config)) == []
    assert config.adapter_init is not None
    assert config.vae == replace(config.unet, subfolder="vae")
    refs = [config.unet, config.image_encoder, config.instruction_encoder, config.adapter_init]
    assert all(ref.revision is not None and len(ref.revision) == 40 for ref in refs)


def test_moving_the_unet_moves_the_parts_that_follow_it() -> None:
    config = read("sd15.yaml", unet={"id": "/weights/sd15"})
    assert {config.vae.id, config.text_encoder.id, config.tokenizer.id, config.scheduler.id} == {"/weights/sd15"}
    assert config.image_encoder.id == "h94/IP-Adapter"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"name": "micro"}, "random"),
        ({"random_weights": False}, "base.vae.id=builtin:micro"),
        ({"dtype": "fp8"}, "base.dtype=fp8"),
        ({"resolution": 0}, "base.resolution=0"),
    ],
)
def test_impossible_values_are_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        load_base(replace(micro_config(), **changes), "cpu")


def test_unknown_part_is_refused() -> None:
    with pytest.raises(ConfigError, match="no part lora"):
        load_base(micro_config(), "cpu", only=["lora"])


def test_a_ref_reads_as_text() -> None:
    assert str(WeightsRef("a/b", "c0ffee", "unet")) == "a/b (subfolder unet, revision c0ffee)"


@pytest.mark.parametrize(
    ("family", "four_pass"),
    [
        ("sd15", {"object", "structure"}),
        ("sdxl", {"object", "structure"}),
        ("sd3", {"object", "structure", "face"}),
        ("flux", set()),
    ],
)
def test_tasks_are_guided_as_the_released_code_for_the_base_guides_them(family: str, four_pass: set[str]) -> None:
    assert {task for task in TASKS if guidance_of(task, family) == "four_pass"} == four_pass
