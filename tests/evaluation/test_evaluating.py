"""How many processes draw."""

from dataclasses import replace
from unittest import mock

import torch
from hydra import compose, initialize_config_dir

from ipai.evaluation.config import EvaluationConfig
from ipai.evaluation.evaluating import processes
from ipai.schema import typed
from tests.helpers.composing import CONF


def test_as_many_processes_draw_as_there_are_gpus_and_cpu_processes_without_one() -> None:
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        config = typed(compose("evaluate", overrides=["cpu_processes=2"]), EvaluationConfig)
    assert processes(replace(config, device="cpu")) == 2
    assert processes(replace(config, processes=3)) == 3
    with mock.patch.object(torch.cuda, "device_count", return_value=4):
        assert processes(config) == 4
        assert processes(replace(config, device="cpu")) == 2
