"""CLIP scores of the few pictures that training draws, to see early whether it learns anything."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ipai.clip.model import ClipModel
from ipai.clip.scores import clip_i, clip_score
from ipai.errors import WeightsError
from ipai.image_io import to_image

if TYPE_CHECKING:  # it imports this module's users
    from ipai.training.validation import ValidationImage

_BATCH = 8  # a few pictures in all


class ClipDuringTraining:
    """Scores drawn samples: `validation/clip_i/<task>` and `validation/clip_p/<task>`, means over the samples.

    Args:
        model, pretrained: See `ClipModel`.
        device: Where it runs.

    Raises:
        WeightsError: The model cannot be had; the message says how to go without.
    """

    def __init__(self, model: str, pretrained: str | None, device: torch.device) -> None:
        try:
            self._clip = ClipModel(model, pretrained, device, _BATCH)
        except WeightsError as error:
            raise WeightsError(f"{error} (validation.clip_model=null trains without these scores)") from error

    def __call__(self, drawn: Sequence["ValidationImage"]) -> dict[str, float]:
        """The scores by name."""
        generated = self._clip.pictures([_png(one.generated) for one in drawn])
        conditions = self._clip.pictures([_png(one.condition) for one in drawn])
        texts = self._clip.texts([one.prompt for one in drawn])
        columns = {"clip_i": clip_i(generated, conditions), "clip_p": clip_score(generated, texts)}
        values: dict[str, float] = {}
        for task in dict.fromkeys(one.task for one in drawn):
            own = torch.tensor([one.task == task for one in drawn])
            values |= {f"validation/{name}/{task}": column[own].mean().item() for name, column in columns.items()}
        return values


def _png(pixels: Tensor) -> bytes:
    stream = io.BytesIO()
    to_image(pixels).save(stream, "PNG")
    return stream.getvalue()
