"""Image bytes to pixels: orientation, colour modes, limits, and one crop box for everything made from one image."""

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional

from ipai.errors import SampleError
from ipai.image_io import is_plain, open_picture, to_rgb

MAX_PIXELS = 100_000_000  # of one picture that a user gives
ORIENTATION = 0x0112  # EXIF
Box = tuple[int, int, int, int]


class ImageError(SampleError):
    """An image cannot be used."""


def decode_image(data: bytes, max_pixels: int) -> Image.Image:
    """Decode the first frame of a file, see `as_seen`.

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
    return as_seen(image, max_pixels)


def as_seen(image: Image.Image, max_pixels: int) -> Image.Image:
    """An opened image in sRGB as a person would see it: turned upright, see `ipai.image_io.to_rgb`.

    Args:
        image: Not changed, but loaded; the result may be the same object.
        max_pixels: More are refused before anything is decoded.

    Raises:
        ImageError: Truncated, corrupt, or too large.
    """
    if image.width * image.height > max_pixels:
        raise ImageError("too_large", f"{image.width} x {image.height} pixels, the limit is {max_pixels}")
    try:
        image.load()
        upright = ImageOps.exif_transpose(image) if image.getexif().get(ORIENTATION, 1) != 1 else image
        return upright if is_plain(upright) else to_rgb(upright)
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError) as error:
        raise ImageError("truncated", str(error)) from error


def square_box(image: Image.Image) -> Box:
    """The centred square of an image: left, upper, right, lower in pixels."""
    side = min(image.size)
    left, upper = (image.width - side) // 2, (image.height - side) // 2
    return left, upper, left + side, upper + side


def framing_of(image: Image.Image, size: int) -> tuple[int, int, int, int, int, int]:
    """How `square_box` and `to_square` frame an image, as SDXL is told of it (2307.01952, section 2.2).

    Returns:
        Height and width of the image; how far from its top and left the square begins, in pixels of the resized image;
        height and width of the square.
    """
    left, top, right, _ = square_box(image)
    scale = size / max(right - left, 1)
    return image.height, image.width, round(top * scale), round(left * scale), size, size


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
