"""Opening foreign pictures with Pillow and nothing else: known formats, and every colour model to RGB."""

import io

import numpy as np
from PIL import Image

# What photographs and renderings come in. Pillow would also start Ghostscript for PostScript that calls itself a JPEG.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")


def open_picture(data: bytes) -> Image.Image:
    """The picture whose file holds `data`, by its header; raises what Pillow raises on damaged content."""
    return Image.open(io.BytesIO(data), formats=FORMATS)


def to_rgb(picture: Image.Image) -> Image.Image:
    """RGB as a person would see it: 16 bits scaled to 8, transparency on white, the first frame.

    Raises:
        ValueError: It holds values that are not finite.
    """
    if picture.mode.startswith("I") or picture.mode == "F":
        values = np.asarray(picture, dtype=np.float64)
        if not np.isfinite(values).all():
            raise ValueError("some of its values are not finite")
        # convert("L") would clip: 16-bit files use the whole range up to 65,535.
        picture = Image.fromarray((values / 257).clip(0, 255).round().astype(np.uint8))
    if "A" in picture.mode or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        picture = Image.alpha_composite(white, picture)
    return picture.convert("RGB")
