"""The wording nearest to the mean of its pool, found when a run starts."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from ipai.backbones.instruction_encoder import OpenClipInstructionEncoder
from ipai.config import TrainingRun
from ipai.errors import ConfigError
from ipai.evaluation.evaluated_run import read_run
from ipai.instructions.pools import load_pool
from ipai.training.average_instructions import average_instructions, nearest_to_mean
from ipai.training.run import train

CPU = torch.device("cpu")


def test_the_nearest_is_by_angle_and_the_first_of_equals() -> None:
    rows = torch.tensor([[1.0, 0.0], [0.0, 5.0], [1.0, 1.0], [1.0, 1.0]])
    assert nearest_to_mean(rows) == 2
    assert nearest_to_mean(torch.tensor([[2.0, 0.0], [1.0, 0.0]])) == 0


def test_a_run_finds_its_wordings_and_goes_on_as_one_with_fixed_ones(
    configure: Callable[..., TrainingRun], tmp_path: Path
) -> None:
    words = ("experiment=average_instruction", "tasks=[style,object]")
    config = configure(*words)
    encoder = OpenClipInstructionEncoder.from_config(config.base, CPU)
    wanted = {}
    for task, name in (("style", ""), ("object", "object")):
        pool = load_pool(task, "train")
        pooled = torch.stack([encoder.encode([text.replace("{object}", name)]).pooled[0] for text in pool])
        wanted[task] = pool[nearest_to_mean(pooled)]
    assert average_instructions(config.instructions, config.tasks, config.base, CPU) == wanted
    assert train(config) == 0
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["instructions"]["source"] == "fixed"
    assert read_run(tmp_path / "run").instructions.fixed == wanted
    assert train(configure(*words)) == 0, "the same command finds the run finished"
    text = (tmp_path / "run" / "config.yaml").read_text()
    other = load_pool("style", "train")[-1]
    assert other != wanted["style"]
    frozen = yaml.safe_load(text)
    frozen["instructions"]["fixed"]["style"] = other
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(frozen))
    with pytest.raises(ConfigError, match="other settings"):  # the wordings that it was begun with, not new ones
        train(configure(*words))
