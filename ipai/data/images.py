"""Image bytes to pixels: orientation, colour modes, limits, and one crop box for everything made from one image."""

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from ipai.errors import DataError
from ipai.pictures import open_picture, to_rgb

Box = tuple[int, int, int, int]


class ImageError(DataError):
    """An image cannot be used; `reason` is a short word for counting."""

    def __init__(self, reason: str, details: str) -> None:
        super().__init__(f"{reason}: {details}")
        self.reason = reason

    def __reduce__(self) -> tuple[type["ImageError"], tuple[str, str]]:
        """Survive the way from a loader's worker process."""
        return ImageError, (self.reason, str(self).removeprefix(f"{self.reason}: "))


def decode_image(data: bytes, max_pixels: int) -> Image.Image:
    """Decode to RGB as a person would see it: turned upright, 16-bit scaled to 8, transparency on white, first frame.

    Raises:
        ImageError: Empty, no image, truncated, corrupt, or of more than `max_pixels` by its header.
    """
    if not data:
        raise ImageError("empty", "no bytes")
    try:
        image = open_picture(data)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        bomb = isinstance(error, Image.DecompressionBombError)
        raise ImageError("too_large" if bomb else "not_an_image", str(error)) from error
    if image.width * image.height > max_pixels:
        raise ImageError("too_large", f"{image.width} x {image.height} pixels, the limit is {max_pixels}")
    try:
        image.load()
        return to_rgb(ImageOps.exif_transpose(image))
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError) as error:
        raise ImageError("truncated", str(error)) from error


def square_box(image: Image.Image) -> Box:
    """The centred square of an image: left, upper, right, lower in pixels."""
    side = min(image.size)
    left, upper = (image.width - side) // 2, (image.height - side) // 2
    return left, upper, left + side, upper + side


def to_square(image: Image.Image, box: Box, size: int) -> Tensor:
    """The pixels inside `box`, resized with an antialiased bicubic filter: uint8 [3, size, size]."""
    # Cropped first: `resize(box=...)` would let pixels from outside the box bleed in at its edges.
    resized = image.crop(box).resize((size, size), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1).contiguous()
