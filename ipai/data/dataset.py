"""Samples by (step, slot) for training, and by number for validation; all randomness is keyed (see `keyed`)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ipai.data.buckets import REPLACEMENTS
from ipai.data.collate import TrainingSample
from ipai.data.config import DataConfig, DropConfig
from ipai.data.counter_rng import KeyedPermutation, keyed_generator
from ipai.data.order import Order
from ipai.data.sample_images import Cached, PictureReader, Pictures, Sizes
from ipai.data.shards import RawSample, ShardSet
from ipai.errors import DataError, InstructionError, SampleError
from ipai.instructions.slots import fill_slot
from ipai.tasks import task_index

# Validation must not depend on the run's seed: two runs compare on the same noise.
_VALIDATION_SEED = 0


class TrainingDataset(torch.utils.data.Dataset[TrainingSample]):
    """Map-style: `dataset[step, slot]`.

    Args:
        shards: Name of a set -> its training shards.
        order: Which sample sits where.
        instructions: Task -> the templates to draw from.
        config: Limits and drops.
        seed: The run's seed.
        sizes: What samples are made to.
        cached: Name of a set -> what is cached of its samples.
        draws: How often each sample is noised.
        always_targets: Give the targets' pixels and framing also where their latents are cached.
    """

    def __init__(
        self,
        shards: dict[str, ShardSet],
        order: Order,
        instructions: dict[str, tuple[str, ...]],
        config: DataConfig,
        seed: int,
        sizes: Sizes,
        cached: Mapping[str, Cached] | None = None,
        draws: int = 1,
        always_targets: bool = False,
    ) -> None:
        self._draws = draws
        self._shards = shards
        self._order = order
        self._instructions = instructions
        self._config = config
        self._seed = seed
        self._sizes = sizes
        self._read = _readers(shards, cached, sizes, config, always_targets=always_targets)

    def __getitem__(self, place: tuple[int, int]) -> TrainingSample:
        """The sample in a slot of a step; one that cannot be used is replaced by another of its set.

        Raises:
            DataError: Ten replacements in a row could not be used either.
        """
        step, slot = place
        draw = self._order.at(step, slot)
        shards, index = self._shards[draw.set_name], draw.index
        skipped: list[tuple[str, str]] = []
        for attempt in range(REPLACEMENTS):
            try:
                return self._sample(step, slot, draw.set_name, index, tuple(skipped))
            except SampleError as error:
                skipped.append((f"{draw.set_name}/{shards.key(index)}", error.reason))
                index = self._another(draw.set_name, index, (step, slot, attempt))
        raise DataError(f"{REPLACEMENTS} samples of {draw.set_name} in a row cannot be used: {skipped}")

    @property
    def shards(self) -> dict[str, ShardSet]:
        """Name of a set -> its training shards."""
        return self._shards

    @property
    def order(self) -> Order:
        """Which sample sits where."""
        return self._order

    def keys_of(self, step: int, slots: list[int]) -> list[str]:
        """`<set>/<key>` of the samples drawn for some slots of a step, for messages."""
        draws = [self._order.at(step, slot) for slot in slots]
        return [f"{draw.set_name}/{self._shards[draw.set_name].key(draw.index)}" for draw in draws]

    def _another(self, name: str, index: int, position: tuple[int, int, int]) -> int:
        """A sample of the set whose target has the size of this one's."""
        generator = keyed_generator(self._seed, "replacement", *position)
        if name not in self._sizes.buckets:
            return int(generator.integers(len(self._shards[name])))
        alike = self._sizes.buckets[name].alike(index)
        return int(alike[(np.searchsorted(alike, index) + 1 + generator.integers(len(alike) - 1)) % len(alike)])

    def _sample(
        self, step: int, slot: int, name: str, index: int, skipped: tuple[tuple[str, str], ...]
    ) -> TrainingSample:
        raw, pictures = self._read[name](index)
        task = self._shards[name].task

        def generator(stream: str, draw: int = 0) -> np.random.Generator:
            place = (step, slot, draw) if draw else (step, slot)
            return keyed_generator(self._seed, stream, *place)

        latents = self._sizes.latents_of(self._sizes.target_of(name, index))
        draws = range(self._draws)
        templates = self._instructions[task]
        text, image, instruction = dropped(self._config.drop, float(generator("drop").random()))
        template = templates[int(generator("instruction").integers(len(templates)))]
        return TrainingSample(
            step=step,
            slot=slot,
            prompt="" if text else _prompt(raw),
            instruction="" if instruction else _instruction(template, raw),
            drop_image=image,
            noise=torch.stack([_normal(generator("noise", draw), latents) for draw in draws]),
            posterior_noise=_normal(generator("posterior"), latents),
            lots=tuple(float(generator("timestep", draw).random()) for draw in draws),
            skipped=skipped,
            **_named(task, raw, pictures),
        )


class ValidationDataset(torch.utils.data.Dataset[TrainingSample]):
    """The first `per_set` held-out samples of each set in a fixed shuffle, of whatever size; nothing is dropped.

    Noise and instruction never change, and lots are spread evenly over 0..1, whatever the run's seed.

    Args:
        shards: Name of a set -> its validation shards.
        instructions: Task -> the held-out templates.
        config: Limits.
        per_set: How many samples of a set, at most.
        sizes: What samples are made to.
        cached: Name of a set -> what is cached of its samples; the pixels come all the same, for the pictures.
    """

    def __init__(
        self,
        shards: dict[str, ShardSet],
        instructions: dict[str, tuple[str, ...]],
        config: DataConfig,
        per_set: int,
        sizes: Sizes,
        cached: Mapping[str, Cached] | None = None,
    ) -> None:
        self._shards = shards
        self._instructions = instructions
        self._read = _readers(shards, cached, sizes, config, always_targets=True, always_conditions=True)
        self._sizes = sizes
        self._entries = [
            (name, number, min(per_set, len(held))) for name, held in shards.items() for number in range(
                min(per_set, len(held))
            )
        ]  # fmt: skip

    @property
    def shards(self) -> dict[str, ShardSet]:
        """Name of a set -> its validation shards."""
        return self._shards

    def __len__(self) -> int:
        return len(self._entries)

    def fetch(self) -> None:
        """Have what the samples lie in on this node.

        Raises:
            StoreError: It is in an object store that was lost.
        """
        for name, number, _ in self._entries:
            self._shards[name].have(self._index(name, number))

    def _index(self, name: str, number: int) -> int:
        return KeyedPermutation(len(self._shards[name]), "validation", name)[number]

    def first_of_each_set(self, count: int) -> list[int]:
        """The positions of each set's first `count` samples."""
        return [position for position, (_, number, _) in enumerate(self._entries) if number < count]

    def __getitem__(self, position: int) -> TrainingSample:
        """The sample at a position.

        Raises:
            DataError: It cannot be used; a validation set with holes would not compare.
        """
        name, number, total = self._entries[position]
        index = self._index(name, number)
        raw, pictures = self._read[name](index)
        latents = self._sizes.latents_of(self._sizes.target_of(name, index))
        task = self._shards[name].task

        def generator(stream: str) -> np.random.Generator:
            return keyed_generator(_VALIDATION_SEED, f"validation/{stream}/{name}", number)

        templates = self._instructions[task]
        template = templates[int(generator("instruction").integers(len(templates)))]
        return TrainingSample(
            step=0,
            slot=position,
            prompt=_prompt(raw),
            instruction=_instruction(template, raw),
            drop_image=False,
            noise=_normal(generator("noise"), latents)[None],
            posterior_noise=_normal(generator("posterior"), latents),
            lots=((number + 0.5) / total,),
            **_named(task, raw, pictures),
        )


def dropped(config: DropConfig, uniform: float) -> tuple[bool, bool, bool]:
    """Whether text, image and instruction are dropped, decided by one number in [0, 1)."""
    only_text = uniform < config.text
    only_image = config.text <= uniform < config.text + config.image
    both = config.text + config.image <= uniform < config.text + config.image + config.both
    image = only_image or both
    return only_text or both, image, image and config.instruction_with_image


def _prompt(raw: RawSample) -> str:
    prompt = raw.record.get("prompt")
    if not isinstance(prompt, str):
        raise SampleError("no_prompt", f"{raw.shard}: sample {raw.key} has no prompt")
    return prompt


def _instruction(template: str, raw: RawSample) -> str:
    try:
        return fill_slot(template, raw.record.get("slot"))
    except (InstructionError, AttributeError, TypeError) as error:
        raise SampleError("no_name", f"{raw.shard}: the slot of sample {raw.key} is no name ({error})") from error


def _readers(
    shards: dict[str, ShardSet],
    cached: Mapping[str, Cached] | None,
    sizes: Sizes,
    config: DataConfig,
    always_targets: bool = False,
    always_conditions: bool = False,
) -> dict[str, PictureReader]:
    return {
        name: PictureReader(
            held, (cached or {}).get(name, Cached()), sizes, config.max_pixels, always_targets, always_conditions
        )
        for name, held in shards.items()
    }


def _named(task: str, raw: RawSample, pictures: Pictures) -> dict[str, Any]:
    return {"key": raw.key, "task": task, "task_index": task_index(task), **vars(pictures)}


def _normal(generator: np.random.Generator, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(generator.standard_normal(shape, dtype=np.float32))
