"""Which of the aspect buckets (`bucket_sizes`) each sample of a set belongs to."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from ipai.data.bucket_sizes import Size, nearest
from ipai.data.images import ORIENTATION
from ipai.data.shards import ShardSet
from ipai.image_io import open_picture

_HEADER = 4096  # bytes that hold the size in nearly every file; where they do not, the whole is read
_SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that exchange height and width


@dataclass(frozen=True)
class SetBuckets:
    """The sizes of one set's targets.

    Attributes:
        sizes: All there are, see `BucketConfig.sizes`.
        numbers: Which of them a sample has, uint8 [samples].
    """

    sizes: tuple[Size, ...]
    numbers: np.ndarray

    @classmethod
    def of(cls, shards: ShardSet, sizes: tuple[Size, ...]) -> "SetBuckets":
        """Read the headers of all targets; one that has no size counts as a square, and is refused where it is decoded.

        Raises:
            DataError: A shard cannot be read.
        """
        numbers = [_nearest_of(shards, index, sizes) for index in range(len(shards))]
        return cls(sizes, np.array(numbers, dtype=np.uint8))

    def size_of(self, index: int) -> Size:
        """What a sample's target is cut to."""
        return self.sizes[self.numbers[index]]

    def alike(self, index: int) -> np.ndarray:
        """The samples that have the size of this one, ascending."""
        return np.flatnonzero(self.numbers == self.numbers[index])

    def members(self) -> dict[int, np.ndarray]:
        """Number of a size -> the samples that have it; those that nobody has are left out."""
        return {number: np.flatnonzero(self.numbers == number) for number in np.unique(self.numbers).tolist()}


def told(buckets: Mapping[str, SetBuckets]) -> Iterator[str]:
    """A line for each set: how many samples have which size."""
    for name, one in buckets.items():
        counts = {one.sizes[number]: len(members) for number, members in one.members().items()}
        sizes = ", ".join(f"{width} x {height}: {count:,}" for (height, width), count in counts.items())
        yield f"{name}: targets of {sizes}"


def _nearest_of(shards: ShardSet, index: int, sizes: tuple[Size, ...]) -> int:
    for most in (_HEADER, None):
        try:
            picture = open_picture(shards.start_of_target(index, most))
            height, width = _upright(picture)
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            continue
        return nearest(height, width, sizes)
    return 0


def _upright(picture: Image.Image) -> Size:
    sideways = picture.getexif().get(ORIENTATION, 1) in _SIDEWAYS
    return (picture.width, picture.height) if sideways else (picture.height, picture.width)
