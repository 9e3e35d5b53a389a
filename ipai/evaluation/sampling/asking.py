"""Asking an adapter the toy world's questions, and what of the conditions the oracles find in the answers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ipai.instructions.slots import fill_slot
from ipai.pipeline.encoding import Condition
from ipai.pipeline.picture_generator import PictureGenerator, PictureRequest
from ipai.toyworld.oracles import Oracle
from ipai.toyworld.questions import Questions, object_names

_BATCH = 48


@dataclass(frozen=True)
class Sampling:
    """How pictures are drawn: denoising steps, guidance, the adapter's scale, and the first of the noises' seeds."""

    steps: int = 15
    guidance_scale: float = 3.0
    adapter_scale: float = 1.0
    seed: int = 0


def answer(
    generator: PictureGenerator,
    conditions: Tensor,
    prompts: Sequence[str],
    told: Sequence[str | None],
    sampling: Sampling,
) -> Tensor:
    """One picture for each condition, uint8 [N, 3, R, R].

    Args:
        generator: With the adapter that is asked.
        conditions: uint8 [N, 3, S, S].
        prompts: N text prompts.
        told: N instructions, their slots filled; None for adapters that hear none.
        sampling: The noise of picture i has seed `sampling.seed + i`.
    """
    generator.schedule("dpm++")
    generator.attached.set_scale(sampling.adapter_scale)
    pictures = []
    for start in range(0, len(prompts), _BATCH):
        rows = range(start, min(start + _BATCH, len(prompts)))
        generator.attached.condition_each([Condition(conditions[row], told[row]) for row in rows])
        pictures += generator.generate_each(
            [
                PictureRequest(prompts[row], "", sampling.seed + row, sampling.steps, sampling.guidance_scale)
                for row in rows
            ]
        )
    return torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures])).permute(0, 3, 1, 2).contiguous()


def taken(
    generator: PictureGenerator,
    questions: Questions,
    instruction: str | None,
    oracle: Oracle,
    factors: Sequence[str],
    sampling: Sampling,
) -> dict[str, float]:
    """How often the answers to one instruction have the condition's factors, see `Questions.shares`.

    A slot of the instruction is filled with the name of what each condition shows.
    """
    prompts = questions.prompts()
    conditions = questions.pixels(generator.base.image_size)
    names = object_names(questions.conditions)
    told = [None if instruction is None else fill_slot(instruction, name) for name in names]
    pictures = answer(generator, conditions, prompts, told, sampling)
    return questions.shares(oracle.read(pictures), factors)
