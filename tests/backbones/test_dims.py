import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ipai.backbones.backbone import Backbone
from ipai.backbones.config import BaseConfig
from ipai.backbones.dims import BaseDims
from ipai.backbones.families import load_base, read_dims
from ipai.errors import WeightsError

# Down blocks, up blocks, middle block: the order in which adapter files number the cross-attentions.
SIZES = (32,) * 2 + (64,) * 4 + (64,) * 6 + (32,) * 3 + (64,)


def test_dims_come_from_the_configuration_files_alone(
    config: BaseConfig, micro_folder: Path, config_at: Callable[[Path], BaseConfig], tmp_path: Path
) -> None:
    expected = BaseDims(
        image_dim=64,
        image_tokens=17,
        prompt_dim=32,
        token_dim=32,
        instruction_dim=32,
        attention_sizes=SIZES,
        latent_shape=(4, 8, 8),
        resolution=64,
        multiple=64,
        image_size=56,
    )
    assert read_dims(config) == expected
    shutil.copytree(micro_folder, tmp_path / "bare", ignore=shutil.ignore_patterns("*.safetensors", "tokenizer*"))
    assert read_dims(config_at(tmp_path / "bare")) == expected


def test_dims_describe_what_is_loaded(base: Backbone) -> None:
    dims = read_dims(base.config)
    assert len(dims.attention_sizes) == 16
    assert base.null_condition().shape == (1, dims.image_tokens, dims.image_dim)
    assert base.encode_prompts([""])[0].shape == (1, 77, dims.prompt_dim)


CHANGES: list[tuple[str, dict[str, Any], str]] = [
    ("unet/config.json", {"in_channels": 9}, "unet has 9 channels in"),
    ("unet/config.json", {"cross_attention_dim": 48}, "text_encoder gives 32-wide tokens, unet cross-attends to 48"),
    ("scheduler/scheduler_config.json", {"prediction_type": "sample"}, "prediction_type sample"),
    ("vae/config.json", {"latent_channels": 16}, "vae has 16 latent channels, unet takes 4"),
    ("image_encoder/config.json", {"image_size": 224}, "set base.image_size=224"),
    ("text_encoder/config.json", {"max_position_embeddings": 64}, "model_max_length 77, text_encoder has 64"),
]


@pytest.mark.parametrize(("file", "change", "message"), CHANGES)
def test_parts_that_do_not_fit_are_named(
    micro_folder: Path,
    config_at: Callable[[Path], BaseConfig],
    tmp_path: Path,
    file: str,
    change: dict[str, Any],
    message: str,
) -> None:
    shutil.copytree(micro_folder, tmp_path / "changed")
    path = tmp_path / "changed" / file
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(WeightsError, match=message):
        load_base(config_at(tmp_path / "changed"), "cpu")


def test_all_misfits_come_in_one_error(config: BaseConfig) -> None:
    with pytest.raises(WeightsError) as caught:
        read_dims(replace(config, resolution=96, image_size=224))
    assert "base.resolution=96 must be a multiple of 64" in str(caught.value)
    assert "set base.image_size=56" in str(caught.value)


def test_parts_that_are_not_wanted_are_not_looked_at(
    micro_folder: Path, config_at: Callable[[Path], BaseConfig], tmp_path: Path
) -> None:
    shutil.copytree(micro_folder / "vae", tmp_path / "vae")
    base = load_base(config_at(tmp_path), "cpu", only=["vae"])
    assert base.vae.config["latent_channels"] == 4
    with pytest.raises(WeightsError, match="unet of the base micro-random was not loaded"):
        _ = base.denoiser
