"""Which of the aspect buckets (`bucket_sizes`) each sample of a set belongs to."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from ipai.data.bucket_sizes import Size, nearest
from ipai.data.images import ORIENTATION
from ipai.data.shards import ShardSet
from ipai.errors import DataError
from ipai.image_io import open_picture

log = logging.getLogger(__name__)

REPLACEMENTS = 10
"""How many samples are tried in the place of one that cannot be used."""

_HEADER = 4096  # bytes that hold the size in nearly every file; where they do not, the whole is read
_SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that exchange height and width
_UNKNOWN = -1


@dataclass(frozen=True)
class SetBuckets:
    """The sizes of one set's targets.

    Attributes:
        sizes: All there are, see `BucketConfig.sizes`.
        numbers: Which of them a sample has, int16 [samples].
    """

    sizes: tuple[Size, ...]
    numbers: np.ndarray

    @classmethod
    def of(cls, shards: ShardSet, sizes: tuple[Size, ...]) -> "SetBuckets":
        """Read the headers of all targets; one that tells no size counts to the most, and is no picture.

        Raises:
            DataError: A shard cannot be read.
        """
        bar = tqdm(range(len(shards)), unit="sample", desc=f"shapes of {shards.name}", delay=2, leave=False)
        found = np.array([size_number(shards, index, sizes) for index in bar], dtype=np.int16)
        counts = np.bincount(found[found != _UNKNOWN], minlength=1)
        return cls(sizes, np.where(found == _UNKNOWN, np.int16(counts.argmax()), found))

    def size_of(self, index: int) -> Size:
        """What a sample's target is cut to."""
        return self.sizes[self.numbers[index]]

    def alike(self, index: int) -> np.ndarray:
        """The samples that have the size of this one, ascending."""
        return np.flatnonzero(self.numbers == self.numbers[index])

    def members(self, least: int) -> dict[int, np.ndarray]:
        """Number of a size -> the samples that have it; sizes of fewer than `least` samples are left out."""
        held = {number: np.flatnonzero(self.numbers == number) for number in np.unique(self.numbers).tolist()}
        return {number: samples for number, samples in held.items() if len(samples) >= least}


def members_of(buckets: Mapping[str, SetBuckets], batch_size: int) -> dict[str, dict[int, np.ndarray]]:
    """Set -> number of a size -> the samples that are trained on, see `SetBuckets.members`; the log says how many.

    A step's samples have one size. Of a size that fills no batch, or leaves nothing to replace a damaged picture by, a
    whole step would be the same few pictures.

    Raises:
        DataError: A set has no size of so many samples.
    """
    least = max(batch_size, REPLACEMENTS)
    found = {name: one.members(least) for name, one in buckets.items()}
    for name, one in buckets.items():
        counts = {one.sizes[number]: len(held) for number, held in found[name].items()}
        sizes = ", ".join(f"{width} x {height}: {count:,}" for (height, width), count in counts.items())
        if not counts:
            raise DataError(
                f"{name} has no {least} targets of one size, which data.buckets needs (as many as train.batch_size, "
                f"and {REPLACEMENTS} at least); lower data.buckets.max_aspect (1: squares alone), or train.batch_size"
            )
        log.info("%s: targets of %s", name, sizes)
        if left := len(one.numbers) - sum(counts.values()):
            log.warning(
                "%s: %s of %s samples are not trained on, as fewer than %s have their size; lower "
                "data.buckets.max_aspect to cut them to another",
                name, f"{left:,}", f"{len(one.numbers):,}", least,
            )  # fmt: skip
    return found


def size_number(shards: ShardSet, index: int, sizes: tuple[Size, ...]) -> int:
    """The number of the size that a target is cut to, by its header; -1 where that tells no size.

    Raises:
        DataError: A shard cannot be read.
    """
    for most in (_HEADER, None):
        try:
            picture = open_picture(shards.start_of_target(index, most))
            height, width = _upright(picture)
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            continue
        return nearest(height, width, sizes)
    return _UNKNOWN


def _upright(picture: Image.Image) -> Size:
    exif = Image.Image.getexif(picture)  # PNG's own would decode the whole picture
    sideways = picture.format != "TIFF" and exif.get(ORIENTATION, 1) in _SIDEWAYS  # which Pillow turns itself
    return (picture.width, picture.height) if sideways else (picture.height, picture.width)
