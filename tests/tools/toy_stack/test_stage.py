"""The loop that trains every part of the stack."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ipai.errors import CheckpointError
from tools.toy_stack.stage import Losses, Stage, StageSettings

SETTINGS = StageSettings(steps=12, batch_size=4, learning_rate=1e-2, ema=0.9)


def noisy_loss(model: nn.Module) -> Callable[[torch.Generator], Losses]:
    """A loss that depends on the step's random numbers."""

    def loss(generator: torch.Generator) -> Losses:
        inputs = torch.randn(SETTINGS.batch_size, 3, generator=generator)
        return {"loss": (model(inputs) - inputs.sum(1, keepdim=True)).square().mean()}

    return loss


def new_stage(folder: Path, settings: StageSettings = SETTINGS, seed: int = 0) -> tuple[nn.Linear, Stage]:
    torch.manual_seed(1)
    model = nn.Linear(3, 1)
    return model, Stage("part", model, noisy_loss(model), settings, folder, seed, save_every=4)


def weights(model: nn.Linear) -> list[Tensor]:
    return [value.detach().clone() for value in model.parameters()]


def test_a_stopped_stage_continues_to_the_same_weights_and_history(tmp_path: Path) -> None:
    model, stage = new_stage(tmp_path / "whole")
    list(stage.run(report_every=2))
    cut_model, cut = new_stage(tmp_path / "cut")
    steps = cut.run(report_every=2)
    while next(steps).step < 10:  # the state of step 8 is on disk
        pass
    steps.close()
    again_model, again = new_stage(tmp_path / "cut")
    list(again.run(report_every=2))
    assert not all(torch.equal(*pair) for pair in zip(weights(cut_model), weights(model), strict=True))
    assert all(torch.equal(*pair) for pair in zip(weights(again_model), weights(model), strict=True))
    assert again.history == stage.history


def test_a_finished_stage_is_only_read_back(tmp_path: Path) -> None:
    model, stage = new_stage(tmp_path)
    list(stage.run())
    again_model, again = new_stage(tmp_path)
    assert list(again.run()) == []
    assert all(torch.equal(*pair) for pair in zip(weights(again_model), weights(model), strict=True))


def test_running_statistics_are_part_of_the_state(tmp_path: Path) -> None:
    def with_norm() -> tuple[nn.Sequential, Stage]:
        torch.manual_seed(1)
        model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1))
        return model, Stage("norm", model, noisy_loss(model), SETTINGS, tmp_path)

    model, stage = with_norm()
    list(stage.run())
    again_model, again = with_norm()
    list(again.run())
    assert torch.equal(again_model[0].running_var, model[0].running_var)
    assert not torch.equal(model[0].running_var, torch.ones(3))


def test_it_learns_and_keeps_the_average(tmp_path: Path) -> None:
    settings = StageSettings(steps=400, batch_size=4, learning_rate=3e-2, ema=0.9)
    model, stage = new_stage(tmp_path, settings)
    list(stage.run())
    assert stage.history[-1]["loss"] < 0.01 * stage.history[0]["loss"]
    torch.testing.assert_close(model.weight.detach(), torch.ones(1, 3), atol=0.05, rtol=0)


@pytest.mark.parametrize(
    ("settings", "seed"),
    [
        (StageSettings(steps=12, batch_size=4, learning_rate=2e-2, ema=0.9), 0),
        (StageSettings(steps=13, batch_size=4, learning_rate=1e-2, ema=0.9), 0),
        (SETTINGS, 1),
    ],
)
def test_other_settings_over_a_state_are_refused(tmp_path: Path, settings: StageSettings, seed: int) -> None:
    list(new_stage(tmp_path)[1].run())
    with pytest.raises(CheckpointError, match="delete it"):
        list(new_stage(tmp_path, settings, seed)[1].run())


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    (tmp_path / "part.pt").write_bytes(b"PK\x03\x04 not a state")
    with pytest.raises(CheckpointError, match=r"part\.pt"):
        list(new_stage(tmp_path)[1].run())
