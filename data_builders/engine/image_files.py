"""Reading foreign pictures safely, cutting squares and encoding them."""

import io
import struct
import warnings
from pathlib import Path

from PIL import Image, ImageOps

from data_builders.engine.records import Drop
from ipai.errors import DataError
from ipai.image_io import is_plain, open_picture, to_rgb

Box = tuple[float, float, float, float]
"""left, top, width, height in px, as COCO writes it."""

Square = tuple[int, int, int]
"""left, top, side in px; it may reach beyond its picture."""

_ORIENTATION = 0x0112
_SWAPS_SIDES = (5, 6, 7, 8)
# What Pillow's readers raise on damaged content; the content is in memory by then, so none of it speaks of the disk.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error)


def read_picture(path: Path, size: tuple[int, int] | None, max_pixels: int) -> Image.Image:
    """The picture at `path`, decoded to RGB from any colour model.

    Args:
        path: A picture in any format that Pillow reads.
        size: Width and height (px) that the annotations were made for, or None. A picture of that size is taken as it
            lies, whatever its EXIF orientation says; one that has it only after turning is turned.
        max_pixels: Refuse more pixels than this, by the header, before anything is decoded.

    Raises:
        Drop: missing_file, not_an_image, too_many_pixels, size_mismatch or truncated.
        DataError: The disk or the permissions refuse the reading.
    """
    return decode_picture(read_bytes(path), size, max_pixels)


def read_bytes(path: Path) -> bytes:
    """What a file holds.

    Raises:
        Drop: missing_file.
        DataError: The disk or the permissions refuse the reading.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise Drop("missing_file") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}; mend that and repeat the command") from error


def decode_picture(content: bytes, size: tuple[int, int] | None, max_pixels: int) -> Image.Image:
    """The picture that a file of this content holds; see `read_picture`.

    Raises:
        Drop: not_an_image, too_many_pixels, size_mismatch or truncated.
    """
    picture = _open(content)
    if picture.width * picture.height > max_pixels:
        raise Drop("too_many_pixels")
    try:
        turned = ImageOps.exif_transpose(picture) if _must_turn(picture, size) else picture
        turned.load()
        return turned if is_plain(turned) else to_rgb(turned)
    except _DAMAGE as error:
        raise Drop("truncated") from error


def middle_square(width: int, height: int) -> Square:
    """The largest square in the middle of a picture.

    >>> middle_square(640, 480)
    (80, 0, 480)
    """
    side = min(width, height)
    return (width - side) // 2, (height - side) // 2, side


def cut(picture: Image.Image, square: Square, size: int, beyond: tuple[int, int, int] = (0, 0, 0)) -> Image.Image:
    """The part of an RGB picture in `square`, scaled to `size` x `size` px; beyond the picture lies colour `beyond`."""
    left, top, side = square
    inside = left >= 0 and top >= 0 and left + side <= picture.width and top + side <= picture.height
    if inside:
        part = picture.crop((left, top, left + side, top + side))
    else:
        part = Image.new("RGB", (side, side), beyond)
        part.paste(picture, (-left, -top))
    return part.resize((size, size), Image.Resampling.LANCZOS)


def middle(picture: Image.Image, size: int, max_aspect: float) -> Image.Image:
    """The middle of an RGB picture, its shorter side scaled to `size` px.

    Args:
        picture: Of any shape.
        size: Of the shorter side, px.
        max_aspect: Longer over shorter side at most; what is longer is cut. 1 cuts squares.
    """
    left, top, width, height = _middle_part(*picture.size, max_aspect)
    short = min(width, height)
    part = picture.crop((left, top, left + width, top + height))
    return part.resize((round(size * width / short), round(size * height / short)), Image.Resampling.LANCZOS)


def visible(picture: Image.Image, max_aspect: float) -> float:
    """How much of a picture's area `middle` leaves, to six digits."""
    _, _, width, height = _middle_part(*picture.size, max_aspect)
    return round(width * height / (picture.width * picture.height), 6)


def _middle_part(width: int, height: int, max_aspect: float) -> tuple[int, int, int, int]:
    """Left, top, width and height, px."""
    longest = round(min(width, height) * max_aspect)
    wide, high = min(width, longest), min(height, longest)
    return (width - wide) // 2, (height - high) // 2, wide, high


def encode_jpeg(picture: Image.Image, quality: int) -> bytes:
    """JPEG bytes without metadata, at full colour resolution (4:4:4): flat colours would smear at their edges."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def _open(content: bytes) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # max_pixels decides
            return open_picture(content)
    except Image.DecompressionBombError as error:
        raise Drop("too_many_pixels") from error
    except _DAMAGE as error:
        raise Drop("not_an_image") from error


def _must_turn(picture: Image.Image, size: tuple[int, int] | None) -> bool:
    """Whether the picture must be turned as its EXIF orientation says; Drop if it has not `size` either way."""
    if picture.size == size:
        return False
    if size is None or (picture.size == size[::-1] and picture.getexif().get(_ORIENTATION) in _SWAPS_SIDES):
        return True
    raise Drop("size_mismatch")
