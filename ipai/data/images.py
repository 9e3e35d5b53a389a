"""Image bytes to pixels: orientation, colour modes, limits, and one crop box for everything made from one image."""

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional

from ipai.data.bucket_sizes import Size
from ipai.errors import SampleError
from ipai.image_io import is_plain, open_picture, to_rgb

MAX_PIXELS = 100_000_000  # of one picture that a user gives
ORIENTATION = 0x0112  # EXIF
Box = tuple[int, int, int, int]
"""Left, upper, right and lower edge, px."""


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
    """The largest centred square of an image."""
    return centred_box(image, (1, 1))


def centred_box(image: Image.Image, shape: Size) -> Box:
    """The largest centred part of an image that has the shape of `shape`."""
    height, width = shape
    if image.width * height > image.height * width:
        width, height = max(round(image.height * width / height), 1), image.height
    else:
        width, height = image.width, max(round(image.width * height / width), 1)
    left, upper = (image.width - width) // 2, (image.height - height) // 2
    return left, upper, left + width, upper + height


def middle_of(pixels: Tensor) -> Tensor:
    """The largest centred square of images [B, 3, height, width]."""
    height, width = pixels.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[..., top : top + side, left : left + side]


def framing_of(image: Image.Image, size: Size) -> tuple[int, int, int, int, int, int]:
    """How `cut_to` frames an image, as SDXL is told of it (2307.01952, section 2.2).

    Returns:
        Height and width of the image; how far from its top and left its part begins, in pixels of the resized image;
        height and width of what it is made to.
    """
    left, top, right, lower = centred_box(image, size)
    high, wide = size[0] / (lower - top), size[1] / (right - left)
    return image.height, image.width, round(top * high), round(left * wide), *size


def cut_to(image: Image.Image, size: Size) -> Tensor:
    """The largest centred part of an image that has the shape of `size`, resized to it: uint8 [3, height, width]."""
    return resized(image, centred_box(image, size), size)


def to_square(image: Image.Image, box: Box, size: int) -> Tensor:
    """The pixels inside `box` as `resized` makes them: uint8 [3, size, size]."""
    return resized(image, box, (size, size))


def resized(image: Image.Image, box: Box, size: Size) -> Tensor:
    """The pixels inside `box`, resized with an antialiased bicubic filter: uint8 [3, height, width].

    PyTorch's filter for bytes takes a fifth of Pillow's time. One value in a hundred differs, by 1 of 255
    (a few of enlarged noise by 2).
    """
    # Cropped first, or pixels from outside the box would bleed in at its edges.
    part = image if box == (0, 0, *image.size) else image.crop(box)
    if (part.height, part.width) == size:
        # By channel: a third of the time that turning the pixels' three values into planes takes.
        return torch.from_numpy(np.stack([np.asarray(channel) for channel in part.split()]))
    pixels = torch.from_numpy(np.array(part)).permute(2, 0, 1)[None]
    return functional.interpolate(pixels, size, mode="bicubic", antialias=True)[0].contiguous()
