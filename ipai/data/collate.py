"""Samples and batches: what the loader hands to the training step."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class TrainingSample:
    """One decoded sample with everything random about it.

    Attributes:
        step, slot: Its place in the run.
        key, task, task_index: What it is.
        target: uint8 [3, height, width]; None where only `moments` is wanted.
        framing: How the target was cut from its picture, see `ipai.data.images.framing_of`; None likewise.
        condition: uint8 [3, S, S]; None where only `cond_tokens` is wanted.
        moments: The VAE's moments of the target from the cache, fp16 [8, h, w]; None if they are computed online.
        cond_tokens: The encoded condition from the cache, fp16 [257, 1280]; None likewise.
        prompt, instruction: Texts; empty where dropped.
        drop_image: The condition is to be replaced by the null condition.
        noise: Standard normal fp32 [draws, 4, h, w], for the diffusion; a sample may be noised several times.
        posterior_noise: Likewise [4, h, w], for the VAE's posterior.
        lots: Uniform in 0..1, one for each draw; the objective makes the timestep of it.
        skipped: Samples that should have been here but could not be used, with the reason.
    """

    step: int
    slot: int
    key: str
    task: str
    task_index: int
    target: Tensor | None
    framing: tuple[int, ...] | None
    condition: Tensor | None
    moments: Tensor | None
    cond_tokens: Tensor | None
    prompt: str
    instruction: str
    drop_image: bool
    noise: Tensor
    posterior_noise: Tensor
    lots: tuple[float, ...]
    skipped: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Batch:
    """B samples; tensors as in `TrainingSample` with a leading B, or None as there; texts and names as lists.

    `noise` and `lots` have a row for each draw, those of one sample next to each other: [B x draws, ...].
    """

    target: Tensor | None
    framing: Tensor | None
    condition: Tensor | None
    moments: Tensor | None
    cond_tokens: Tensor | None
    noise: Tensor
    posterior_noise: Tensor
    lots: Tensor
    task_index: Tensor
    drop_image: Tensor
    slots: Tensor
    prompts: list[str]
    instructions: list[str]
    keys: list[str]
    tasks: list[str]
    skipped: list[tuple[str, str]]

    @property
    def draws(self) -> int:
        """How often each sample is noised."""
        return len(self.lots) // len(self.keys)

    def to(self, device: torch.device) -> "Batch":
        """The batch with its tensors on `device`; the copy runs beside the host if the batch is pinned."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """The batch in page-locked memory; called by the DataLoader."""
        return self._each(lambda tensor: tensor.pin_memory())

    def without_condition(self) -> "Batch":
        """The same batch with prompt, instruction and image dropped: the unconditional side of guidance."""
        nothing = [""] * len(self.prompts)
        return replace(self, prompts=nothing, instructions=nothing, drop_image=torch.ones_like(self.drop_image))

    def _each(self, change: Any) -> "Batch":
        tensors = {name: change(value) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **tensors)


def collate(samples: list[TrainingSample]) -> Batch:
    """Stack samples to a batch, in their order."""
    return Batch(
        target=_stack([sample.target for sample in samples]),
        framing=_stack(
            [sample.framing if sample.framing is None else torch.tensor(sample.framing) for sample in samples]
        ),
        condition=_stack([sample.condition for sample in samples]),
        moments=_stack([sample.moments for sample in samples]),
        cond_tokens=_stack([sample.cond_tokens for sample in samples]),
        noise=torch.cat([sample.noise for sample in samples]),
        posterior_noise=torch.stack([sample.posterior_noise for sample in samples]),
        lots=torch.tensor([lot for sample in samples for lot in sample.lots], dtype=torch.float64),
        task_index=torch.tensor([sample.task_index for sample in samples]),
        drop_image=torch.tensor([sample.drop_image for sample in samples]),
        slots=torch.tensor([sample.slot for sample in samples]),
        prompts=[sample.prompt for sample in samples],
        instructions=[sample.instruction for sample in samples],
        keys=[sample.key for sample in samples],
        tasks=[sample.task for sample in samples],
        skipped=[skip for sample in samples for skip in sample.skipped],
    )


def held(pixels: Tensor | None) -> Tensor:
    """Pixels that this batch has to hold, because nothing was cached in their place."""
    assert pixels is not None, "neither pixels nor a cached array in the batch"
    return pixels


def _stack(tensors: list[Tensor | None]) -> Tensor | None:
    """All of them as one, or None if there are none: a run's samples are alike."""
    present = [tensor for tensor in tensors if tensor is not None]
    return torch.stack(present) if present else None
