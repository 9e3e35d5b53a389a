"""Running a teacher: one picture for each request, whatever else is in the batch.

The first noise of a picture comes from its own seed, on the CPU. Every batch has the same size, because rounding
depends on the shape of what is computed: a picture is then the same alone, at the end of a shard and among any others.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image

from data_builders.engine.records import Drop
from data_builders.teachers.config import Teacher
from data_builders.teachers.request import Request
from ipai.errors import DataError

# A picture whose values (0..255) differ by less than this all over shows nothing.
_FLAT = 3


class Engine(Protocol):
    """A loaded teacher. `provenance` goes into every record."""

    provenance: dict[str, Any]

    def __call__(self, requests: Sequence[Request]) -> np.ndarray:
        """Pictures for one full batch: floats in 0..1, `[batch, height, width, 3]`."""
        ...


class TargetGenerator:
    """Fills batches, and judges what comes out.

    Attributes:
        provenance: What records say of the teacher.
    """

    def __init__(self, teacher: Teacher, engine: Engine) -> None:
        self._teacher = teacher
        self._engine = engine
        self.provenance = engine.provenance

    def generate(self, requests: Sequence[Request]) -> list[Image.Image | Drop]:
        """One RGB picture of `teacher.resolution` px for each of at most `teacher.batch_size` requests.

        A picture that is not finite or shows nothing is `Drop("not_finite")` or `Drop("blank")`.

        Raises:
            DataError: The memory does not suffice for the batch.
        """
        if not requests:
            return []
        filled = [*requests, *[requests[-1]] * (self._teacher.batch_size - len(requests))]
        try:
            pictures = self._engine(filled)
        except torch.OutOfMemoryError as error:
            raise DataError(
                f"the memory does not suffice for teacher.batch_size={self._teacher.batch_size}; lower it (in a new "
                "output=, because it decides rounding) or let fewer executor.workers share the GPU"
            ) from error
        return [_judged(picture) for picture in pictures[: len(requests)]]


def drawn(pipeline: Any, teacher: Teacher, requests: Sequence[Request], **more: Any) -> np.ndarray:
    """What a pipeline of diffusers draws for one full batch, in 0..1, `[batch, height, width, 3]`.

    Args:
        pipeline: Of the teacher.
        teacher: Its settings.
        requests: The batch.
        more: What this pipeline is told besides.
    """
    pictures: np.ndarray = pipeline(
        prompt=[request.prompt for request in requests],
        negative_prompt=[teacher.negative_prompt] * len(requests),
        width=teacher.resolution,
        height=teacher.resolution,
        num_inference_steps=teacher.steps,
        guidance_scale=teacher.guidance,
        generator=_generators(requests),
        output_type="np",
        **more,
    ).images
    return pictures


def _generators(requests: Sequence[Request]) -> list[torch.Generator]:
    """A generator for each request, on the CPU so that its noise is the same on every device."""
    return [torch.Generator("cpu").manual_seed(request.seed) for request in requests]


def _judged(picture: np.ndarray) -> Image.Image | Drop:
    if not np.isfinite(picture).all():
        return Drop("not_finite")
    values = (picture * 255).round().astype(np.uint8)
    if int(values.max()) - int(values.min()) < _FLAT:
        return Drop("blank")
    return Image.fromarray(values)
