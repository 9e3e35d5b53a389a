"""Image bytes to pixels: orientation, colour modes, limits, and one crop box for everything made from one image."""

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional

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
        ImageOps.exif_transpose(image, in_place=True)
        is_plain = image.mode == "RGB" and "transparency" not in image.info  # else `to_rgb` would copy it
        return image if is_plain else to_rgb(image)
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError) as error:
        raise ImageError("truncated", str(error)) from error


def square_box(image: Image.Image) -> Box:
    """The centred square of an image: left, upper, right, lower in pixels."""
    side = min(image.size)
    left, upper = (image.width - side) // 2, (image.height - side) // 2
    return left, upper, left + side, upper + side


def to_square(image: Image.Image, box: Box, size: int) -> Tensor:
    """The pixels inside `box`, resized with an antialiased bicubic filter: uint8 [3, size, size].

    PyTorch's filter for bytes takes a fifth of Pillow's time. One value in a hundred differs, by 1 of 255
    (a few of enlarged noise by 2).
    """
    # Cropped first, or pixels from outside the box would bleed in at its edges.
    square = image if box == (0, 0, *image.size) else image.crop(box)
    if square.size == (size, size):
        # By channel: a third of the time that turning the pixels' three values into planes takes.
        return torch.from_numpy(np.stack([np.asarray(channel) for channel in square.split()]))
    pixels = torch.from_numpy(np.array(square)).permute(2, 0, 1)[None]
    return functional.interpolate(pixels, (size, size), mode="bicubic", antialias=True)[0].contiguous()
