"""What the training loss cannot show: the loss on fixed noise, pictures and their scores. None touches the training."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from PIL import Image
from torch import Tensor

from ipai.adapter.hosts.injection import Injection
from ipai.config import ValidationConfig
from ipai.data.collate import Batch, TrainingSample, collate, held
from ipai.data.dataset import ValidationDataset
from ipai.data.images import middle_of
from ipai.image_io import to_image
from ipai.pipeline.from_tokens import TokenPipeline
from ipai.tasks import TASKS
from ipai.training.step import DenoisingStep


class Validator:
    """Fixed samples, fixed noise and timesteps, so that two evaluations of one adapter give the same numbers.

    Args:
        step: Computes errors.
        samples: The held-out samples, in a fixed order; the ranks share the work.
        batch_size: How many are computed at once.
        rank, world_size: Which share of the samples is this process's.
    """

    def __init__(
        self, step: DenoisingStep, samples: ValidationDataset, batch_size: int, rank: int, world_size: int
    ) -> None:
        self.step = step
        self.samples = samples
        self.batch_size = batch_size
        self.rank = rank
        self.world_size = world_size

    @torch.no_grad()
    def losses(self, device: torch.device) -> dict[str, float]:
        """Mean squared error by task and over all, on noise that never changes."""
        sums = torch.zeros(2, len(TASKS), device=device)
        for batch in self._batches(list(range(self.rank, len(self.samples), self.world_size)), device):
            error = self.step.error(batch, self.step.objective.spread(batch.lots))
            sums.index_add_(1, batch.task_index, torch.stack([error, torch.ones_like(error)]))
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(sums)
        total, count = sums.sum(dim=1).tolist()
        values = {"validation/loss": total / max(count, 1)}
        for name, (loss, n) in zip(TASKS, sums.T.tolist(), strict=True):
            if n:
                values[f"validation/loss/{name}"] = loss / n
        return values

    def _batches(self, indices: list[int], device: torch.device) -> Iterator[Batch]:
        for start in range(0, len(indices), self.batch_size):
            chunk = [self.samples[index] for index in indices[start : start + self.batch_size]]
            alike: dict[torch.Size, list[TrainingSample]] = {}
            for sample in chunk:
                alike.setdefault(sample.noise.shape, []).append(sample)
            for samples in alike.values():
                yield collate(samples).to(device)


@dataclass(frozen=True)
class ValidationImage:
    """One fixed held-out sample and what the adapter makes of it; pictures are uint8 [3, S, S] on the CPU."""

    index: int
    task: str
    prompt: str
    condition: Tensor
    generated: Tensor
    target: Tensor

    def row(self) -> Tensor:
        """The three side by side."""
        return torch.cat([self.condition, self.generated, self.target], dim=2)


Score = Callable[[Sequence[ValidationImage]], dict[str, float]]
"""From drawn samples to metrics by name."""


class ValidationImages:
    """Draws condition, generated picture and target side by side through diffusers' own pipeline.

    Args:
        validator: Whose samples and frozen stack are used.
        injection: Whose scale is turned down while drawing.
        config: Steps, guidance and the adapter's scale.
        accelerator: For its autocast.
        score: Scores what was drawn; None leaves it unscored.
    """

    def __init__(
        self,
        validator: Validator,
        injection: Injection,
        config: ValidationConfig,
        accelerator: Accelerator,
        score: Score | None = None,
    ) -> None:
        self.score = score
        self.validator = validator
        self.injection = injection
        self.accelerator = accelerator
        self.config = config
        self._pipeline = TokenPipeline(validator.step.base, injection)

    def draw(self, device: torch.device) -> list[ValidationImage]:
        """Each task's first held-out samples, always the same with the same noise; the ranks share the work."""
        chosen = self.validator.samples.first_of_each_set(self.config.images)
        own = chosen[self.validator.rank :: self.validator.world_size]
        self.injection.set_scale(self.config.adapter_scale)
        try:
            with self.accelerator.autocast():
                drawn = [self._drawn(index, device) for index in own]
        finally:
            self.injection.set_scale(1.0)
        if torch.distributed.is_initialized():
            drawn = gather_object(drawn)
        return sorted(drawn, key=lambda one: one.index)

    @torch.no_grad()
    def _drawn(self, index: int, device: torch.device) -> ValidationImage:
        batch = collate([self.validator.samples[index]]).to(device)
        step, target = self.validator.step, middle_of(held(batch.target))
        size = step.base.config.resolution
        prompts, nothing = (step.base.encode_prompts(texts) for texts in (batch.prompts, [""]))
        adapter = step.module.adapter
        tokens = adapter(step.condition(batch), **step.instructions(batch, prompts))
        unguided = batch.without_condition()
        null = adapter(step.null_condition, **step.instructions(unguided, nothing))
        generated = self._pipeline.draw(
            prompts.embeds, tokens, null,
            steps=self.config.image_steps, guidance_scale=self.config.guidance_scale, seed=index,
        )  # fmt: skip
        condition = (
            torch.nn.functional.interpolate(held(batch.condition).float(), size, mode="bilinear")[0].round().byte()
        )
        shown = torch.nn.functional.interpolate(target.float(), size, mode="bicubic", antialias=True)[0]
        return ValidationImage(
            index, batch.tasks[0], batch.prompts[0], condition.cpu(), generated,
            shown.round().clamp(0, 255).byte().cpu(),
        )  # fmt: skip


def grids(drawn: Sequence[ValidationImage]) -> dict[str, Image.Image]:
    """One picture a task: a row of condition | generated | target for each sample."""
    by_task: dict[str, list[Tensor]] = {}
    for one in drawn:
        by_task.setdefault(one.task, []).append(one.row())
    return {task: to_image(torch.cat(rows, dim=1)) for task, rows in by_task.items()}
