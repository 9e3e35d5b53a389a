"""What an adapter is asked: for each held-out sample a prompt, an instruction and a noise that depend on nothing else.

So two runs are asked the same, and their scores compare sample by sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from ipai.data.counter_rng import KeyedPermutation, keyed_generator
from ipai.data.images import MAX_PIXELS, ImageError, decode_image
from ipai.data.sample_filter import SampleFilter, filtered
from ipai.data.shards import ShardSet
from ipai.errors import DataError
from ipai.instructions.slots import fill_slot


@dataclass(frozen=True)
class EvalSample:
    """One picture to draw.

    Attributes:
        task: Whose scale, guidance and wording it is drawn with.
        key: Of the sample; unique within its source.
        number: Which of the sample's noises, from 0.
        index: Where its source finds it.
        prompt: What the picture shall show.
        caption: Of the condition; None if it has none.
        instruction: Its slot filled.
        seed: Of the noise.
    """

    task: str
    key: str
    number: int
    index: int
    prompt: str
    caption: str | None
    instruction: str
    seed: int

    @property
    def name(self) -> str:
        """Of its picture in a shard."""
        return self.key if self.number == 0 else f"{self.key}-s{self.number}"


class EvalSource(Protocol):
    """Questions of one kind and their condition pictures.

    Attributes:
        name: Names the shards of pictures.
        questions: In a fixed order.
    """

    name: str
    questions: list[EvalSample]

    def condition(self, question: EvalSample) -> Image.Image:
        """What is to be taken from; raises DataError."""
        ...


class HeldOut:
    """The first `limit` held-out samples of a task in the fixed shuffle of the training's validation.

    Args:
        root: Folder of the shards.
        task: Name of a task.
        templates: Instructions to draw from.
        limit: How many samples at most.
        seed: Of noises and instructions.
        seeds_per_sample: How many noises each sample gets.
        condition: On the records of those that are asked, see `SampleFilter`; None asks all.

    Raises:
        DataError: There are no held-out samples, or a shard is damaged or lacks a picture.
    """

    def __init__(
        self,
        root: Path,
        task: str,
        templates: Sequence[str],
        limit: int,
        seed: int,
        seeds_per_sample: int,
        condition: str | None = None,
    ) -> None:
        self.name = task
        self._shards = ShardSet.open(root, task, "val")
        if condition is not None:
            self._shards, _ = filtered(self._shards, SampleFilter(condition))
        order = KeyedPermutation(len(self._shards), "validation", task)
        indices = [order[number] for number in range(min(limit, len(self._shards)))]
        self.questions = [
            self._question(index, number, templates, seed) for index in indices for number in range(seeds_per_sample)
        ]

    def condition(self, question: EvalSample) -> Image.Image:
        """The condition picture, upright and in RGB; raises DataError if it cannot be used."""
        return self._picture(question, self._shards.read(question.index).condition)

    def target(self, question: EvalSample) -> Image.Image:
        """The target picture; raises DataError if it cannot be used."""
        return self._picture(question, self._shards.read(question.index).target)

    def slot(self, question: EvalSample) -> str | None:
        """The name of the condition's object, if somebody gave it one."""
        name: str | None = self._shards.record(question.index).get("slot")
        return name

    def condition_bytes(self, question: EvalSample) -> bytes:
        """The condition's file as it lies in the shard."""
        return self._shards.read(question.index).condition

    def _picture(self, question: EvalSample, content: bytes) -> Image.Image:
        try:
            return decode_image(content, MAX_PIXELS)
        except ImageError as error:
            raise DataError(
                f"a picture of the held-out sample {question.task}/{question.key} cannot be used ({error}); build the "
                "validation shards again, as a set with holes would not compare"
            ) from error

    def _question(self, index: int, number: int, templates: Sequence[str], seed: int) -> EvalSample:
        key, record = self._shards.key(index), self._shards.record(index)
        prompt, caption = record.get("prompt"), record.get("cond_prompt")
        if not isinstance(prompt, str):
            raise DataError(f"the held-out sample {self.name}/{key} has no prompt")
        return EvalSample(
            self.name, key, number, index, prompt, caption or None,
            fill_slot(instruction_for(self.name, key, templates, seed), record.get("slot")),
            noise_seed(self.name, key, number, seed),
        )  # fmt: skip


def noise_seed(task: str, key: str, number: int, seed: int) -> int:
    """The seed of a picture's noise, a function of its arguments alone."""
    return int(keyed_generator(seed, f"evaluation/noise/{task}/{key}", number).integers(np.iinfo(np.int64).max))


def instruction_for(task: str, key: str, templates: Sequence[str], seed: int) -> str:
    """The instruction of a sample, a function of its arguments alone; all its noises share it."""
    return templates[int(keyed_generator(seed, f"evaluation/instruction/{task}/{key}").integers(len(templates)))]
