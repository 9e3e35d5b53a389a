"""A loss that teaches the adapter to hear the instruction, beside the paper's (`train.instruction_contrast`).

What a target shows is what its instruction asks of the condition, by the way the pairs are made. So the tokens of
(condition, instruction) should be those of (target, same instruction), and neither those of other pictures nor those
of the same condition under another task's instruction. No label is needed. Omni-Attribute (2512.10955) found an
encoder of attributes to ignore the attribute without such a term (gap of similarities -0.002; 0.608 with it).

A copy's target is its condition, so copies are only what others are told apart from.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from ipai.backbones.backbone import Backbone
from ipai.data.collate import Batch, held
from ipai.data.images import middle_of
from ipai.tasks import TASKS

TEMPERATURE = 0.1
_COPIES = tuple(task.condition_is_target for task in TASKS.values())


def contrast(told: Tensor, shown: Tensor, otherwise: Tensor, has_other: Tensor) -> Tensor:
    """InfoNCE (1807.03748, eq. 4) of each sample, [B]; tokens are as alike as the cosine of all their numbers.

    Args:
        told: Tokens of (condition, instruction), [B, N, D].
        shown: Of (target, same instruction), [B, N, D]: sample i's own are to be found among all of them.
        otherwise: Of (condition, another task's instruction), [B, N, D]: not to be taken for them.
        has_other: Where there is one, bool [B].
    """
    told, shown, otherwise = (
        functional.normalize(tokens.float().flatten(1), dim=1) for tokens in (told, shown, otherwise)
    )
    alike = told @ shown.T / TEMPERATURE
    other = ((told * otherwise).sum(1) / TEMPERATURE).masked_fill(~has_other, -torch.inf)
    return torch.cat([alike, other[:, None]], dim=1).logsumexp(1) - alike.diagonal()


def other_task(task_index: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
    """For each sample the next one in the batch that is told something of another task.

    Args:
        task_index: [B].
        told: Which samples have an instruction, bool [B].

    Returns:
        Its position [B], and whether there is one, bool [B].
    """
    count = len(task_index)
    steps = torch.arange(count, device=task_index.device)
    positions = (steps[:, None] + steps[None, :]) % count  # [B, B]: the samples from each one on, around the batch
    differs = (task_index[positions] != task_index[:, None]) & told[positions]
    return positions[steps, differs.int().argmax(1)], differs.any(1)


class InstructionContrast:
    """The tokens that the loss compares, and the loss.

    Args:
        base: Encodes targets as conditions are encoded.
    """

    def __init__(self, base: Backbone) -> None:
        self.base = base

    @torch.no_grad()
    def inputs(self, batch: Batch, cond_tokens: Tensor, told: Mapping[str, Tensor | None]) -> dict[str, Tensor | None]:
        """The adapter's inputs for 3 B rows: as they are; the targets; the conditions, told something else.

        Args:
            batch: B samples, with their targets' pixels.
            cond_tokens: Their encoded conditions [B, 257, 1280].
            told: What the adapter takes besides, each [B, ...].
        """
        size = self.base.config.image_size
        shown = middle_of(held(batch.target)).float()  # as conditions are cut
        pixels = functional.interpolate(shown, size=(size, size), mode="bicubic", antialias=True)
        targets = self.base.encode_images(pixels.round().clamp(0, 255).to(torch.uint8)).to(cond_tokens.dtype)
        other, _ = self._other(batch)
        rows: dict[str, Tensor | None] = {
            name: None if value is None else torch.cat([value, value, value[other]]) for name, value in told.items()
        }
        return rows | {"cond_tokens": torch.cat([cond_tokens, targets, cond_tokens])}

    def losses(self, tokens: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss of each sample [B], 0 where it does not count, and where it does, bool [B].

        Args:
            tokens: Of the 3 B rows of `inputs`, [3 B, N, D].
            batch: The same samples.
        """
        copies = torch.tensor(_COPIES, device=batch.task_index.device)
        counts = ~batch.drop_image & self._told(batch) & ~copies[batch.task_index]
        _, has_other = self._other(batch)
        told, shown, otherwise = tokens.chunk(3)
        return contrast(told, shown, otherwise, has_other).where(counts, 0.0), counts

    def _other(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return other_task(batch.task_index, self._told(batch))

    def _told(self, batch: Batch) -> Tensor:
        told = torch.tensor([bool(text) for text in batch.instructions])
        return told.to(batch.task_index.device, non_blocking=True)
