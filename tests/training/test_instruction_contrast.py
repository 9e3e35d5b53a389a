import math
from dataclasses import replace

import pytest
import torch

from ipai.errors import ConfigError
from ipai.tasks import task_index
from ipai.training.instruction_contrast import TEMPERATURE, contrast, other_task
from tests.training.conftest import Assemble


def indices(*tasks: str) -> torch.Tensor:
    return torch.tensor([task_index(task) for task in tasks])


def test_the_loss_in_closed_form() -> None:
    """Two samples whose tokens are unit vectors: every cosine is 0 or 1."""
    one, two = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    told = torch.stack([one, two])[:, None]
    right = contrast(told, 5 * told, told.flip(0), torch.tensor([True, True]))
    # Its own target at cosine 1; the other's target and the other instruction at cosine 0.
    assert right.tolist() == pytest.approx([math.log(1 + 2 * math.exp(-1 / TEMPERATURE))] * 2, abs=2e-6)
    deaf = contrast(told, told.flip(0), told, torch.tensor([True, False]))
    # The instruction changes nothing, and the target looks like the other sample's.
    assert deaf[0].item() == pytest.approx(math.log(1 + 2 * math.exp(1 / TEMPERATURE)))
    assert deaf[1].item() == pytest.approx(math.log(1 + math.exp(1 / TEMPERATURE)))


def test_its_gradient_pulls_to_the_target_and_away_from_the_other_instruction() -> None:
    torch.manual_seed(0)
    told, shown, otherwise = (torch.randn(6, 4, 8) for _ in range(3))
    told.requires_grad_()
    before = contrast(told, shown, otherwise, torch.ones(6, dtype=torch.bool))
    (gradient,) = torch.autograd.grad(before.sum(), told)
    after = contrast(told - 0.1 * gradient, shown, otherwise, torch.ones(6, dtype=torch.bool))
    assert (after < before).all()


def test_the_other_instruction_is_the_next_samples_of_another_task() -> None:
    tasks = indices("style", "style", "face", "style", "copy")
    positions, found = other_task(tasks, torch.tensor([True, True, True, True, False]))
    assert found.all()
    assert positions.tolist() == [2, 2, 3, 2, 0]
    _, alone = other_task(indices("face", "face"), torch.tensor([True, True]))
    assert not alone.any()


def test_training_minimises_it_too_and_logs_it_by_task(parts: Assemble) -> None:
    built = parts("train.instruction_contrast=0.5", "train.batch_size=8", "data.drop.image=0", "data.drop.both=0")
    batch = next(built.micro_batches(0))
    timesteps = built.step.objective.timesteps(batch.lots)
    error, loss, counted = built.step.losses(batch, timesteps)
    assert loss is not None
    assert counted is not None
    copies = batch.task_index == task_index("copy")
    assert torch.equal(counted, ~copies)
    assert (loss[copies] == 0).all()
    assert (loss[counted] > 0).all()
    plain = parts("train.batch_size=8", "data.drop.image=0", "data.drop.both=0")
    assert torch.equal(plain.step.losses(batch, timesteps).error, error), "the paper's loss is as it was"


def test_what_was_dropped_does_not_count(parts: Assemble) -> None:
    built = parts("train.instruction_contrast=0.5", "train.batch_size=8")
    batch = next(built.micro_batches(0))
    timesteps = built.step.objective.timesteps(batch.lots)
    nothing = built.step.losses(batch.without_condition(), timesteps)
    assert nothing.contrasted is not None
    assert not nothing.contrasted.any()
    silent = replace(batch, instructions=[""] * len(batch.instructions))
    assert not built.step.losses(silent, timesteps).contrasted.any()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["adapter=ip_adapter_plus"], "hears none"),
        (["adapter=instruct_released"], "reads the prompt too"),
        (["train.micro_batch_size=1"], "at least two"),
        (["experiment=single_copy"], "nothing to compare"),
    ],
)
def test_what_cannot_be_contrasted_is_refused(parts: Assemble, words: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parts("train.instruction_contrast=0.1", *words)
