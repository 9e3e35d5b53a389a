"""Likeness of a generated picture to its condition by encoders that need weights (`ipai evaluate measures=`)."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor

from ipai.backbones.hub import resolve_file
from ipai.clip.model import EmbeddingFile
from ipai.data.images import MAX_PIXELS, decode_image
from ipai.evaluation.measures.settings import LICENCES, PARTS, LikenessWeights


class Weighted(Protocol):
    """What looks at pictures by weights of its own.

    Attributes:
        identity: Names the weights; equal wherever they lie.
        preprocessing: What is done to a picture first, in words.
    """

    identity: str
    preprocessing: str


class PictureEncoder(Weighted, Protocol):
    """From pictures to rows of numbers."""

    def prepared(self, picture: Image.Image) -> Tensor:
        """An RGB picture as the network takes it, fp32 [3, S, S]."""
        ...

    def embed(self, pixels: Tensor) -> Tensor:
        """Unit vectors, fp32 [N, D], of prepared pictures [N, 3, S, S]; NaN where a picture lacks what is compared."""
        ...


class PictureMeasure(Weighted, Protocol):
    """A number for each picture and its condition."""

    def __call__(self, pictures: Sequence[bytes], conditions: Sequence[bytes]) -> list[float | None]:
        """For each pair of picture files; None where one of them lacks what is compared."""
        ...


Measured = Callable[[Sequence[bytes], Sequence[bytes]], Sequence[float | None]]
"""From picture files and their conditions to a number each, None where there is none."""


class Likeness:
    """The cosine of an encoder's rows of a picture and its condition; rows are kept by content.

    Args:
        encoder: Of pictures.
        batch_size: How many it takes at once.
        cache: Where rows are kept; None keeps none.
    """

    def __init__(self, encoder: PictureEncoder, batch_size: int, cache: Path | None) -> None:
        self.encoder, self._batch_size = encoder, batch_size
        self.identity, self.preprocessing = encoder.identity, encoder.preprocessing
        self._kept = None if cache is None else EmbeddingFile(cache / f"{encoder.identity}.sqlite")

    def __call__(self, pictures: Sequence[bytes], conditions: Sequence[bytes]) -> list[float | None]:
        """A number for each pair of picture files, -1..1; None where one of them lacks what is compared.

        Raises:
            DataError: One is no picture.
        """
        rows = self._rows([*pictures, *conditions])
        lacking = rows.isnan().all(1)  # a row that is broken in part, as by broken weights, is no gap
        pairs = zip(rows[: len(pictures)], rows[len(pictures) :], strict=True)
        gaps = (lacking[: len(pictures)] | lacking[len(pictures) :]).tolist()
        return [None if gap else float((left * right).sum()) for (left, right), gap in zip(pairs, gaps, strict=True)]

    def _rows(self, contents: Sequence[bytes]) -> Tensor:
        keys = [hashlib.sha256(content).digest() for content in contents]
        known = {} if self._kept is None else self._kept.read(keys)
        missing = {key: content for key, content in zip(keys, contents, strict=True) if key not in known}
        names = list(missing)
        for start in range(0, len(names), self._batch_size):
            chunk = names[start : start + self._batch_size]
            pixels = torch.stack([self.encoder.prepared(decode_image(missing[key], MAX_PIXELS)) for key in chunk])
            # Padded to one size, as the CLIP that scores does: a row must not depend on how many others were missing.
            padded = torch.cat([pixels, pixels[:1].expand(self._batch_size - len(chunk), *pixels.shape[1:])])
            rows = dict(zip(chunk, self.encoder.embed(padded)[: len(chunk)], strict=True))
            if self._kept is not None:
                self._kept.write(rows)
            known |= rows
        return torch.stack([known[key] for key in keys])


def likenesses(
    names: Sequence[str], weights: LikenessWeights, device: torch.device, batch_size: int, cache: Path | None
) -> dict[str, PictureMeasure]:
    """The measures that are asked for, loaded.

    Args:
        names: Of `LIKENESSES`.
        weights: Where their encoders lie.
        device: Where they run.
        batch_size: Pictures at once.
        cache: Folder for rows, kept by content.

    Raises:
        WeightsError: An encoder cannot be had; the message names its key and the mend.
    """
    if not names:
        return {}
    # Only now: transformers and torchvision take seconds to import.
    from ipai.evaluation.measures.encoders import CsdEncoder, DinoEncoder
    from ipai.evaluation.measures.faces import FaceEncoder
    from ipai.evaluation.measures.perceptual import PerceptualLikeness

    def kept(encoder: PictureEncoder) -> Likeness:
        return Likeness(encoder, batch_size, cache)

    made: dict[str, Callable[[], PictureMeasure]] = {
        "csd": lambda: kept(CsdEncoder(weights.csd, device)),
        "dino_i": lambda: kept(DinoEncoder(weights.dino, "subject", device)),
        "dino_structure": lambda: kept(DinoEncoder(weights.dino, "structure", device)),
        "face_id": lambda: kept(FaceEncoder(weights.face_detector, weights.face_recogniser)),
        "lpips": lambda: PerceptualLikeness(weights.vgg, weights.lpips, device),
    }
    return {name: made[name]() for name in names}


def fetch_weights(names: Sequence[str], weights: LikenessWeights) -> None:
    """Have the files of these measures on this machine.

    Raises:
        WeightsError: One is neither here nor to be had; the message names it and the mend.
    """
    for part in dict.fromkeys(part for name in names for part in PARTS[name]):
        resolve_file(getattr(weights, part))


def described(found: dict[str, PictureMeasure], weights: LikenessWeights) -> dict[str, dict[str, str]]:
    """For the record: of each measure its weights, their content, licence and preprocessing."""
    default = LikenessWeights()
    result = {}
    for name, measure in found.items():
        refs = {part: getattr(weights, part) for part in PARTS[name]}
        theirs = all(ref.id == getattr(default, part).id for part, ref in refs.items())
        local = any(Path(ref.id).expanduser().exists() for ref in refs.values())
        result[name] = {
            # A folder of this machine would go into the card of an export.
            "weights": measure.identity if local else " and ".join(map(str, refs.values())),
            "identity": measure.identity,
            "licence": " and ".join(LICENCES[part] for part in refs) if theirs else "as its owner says",
            "preprocessing": measure.preprocessing,
        }
    return result
