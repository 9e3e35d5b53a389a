"""The corpus of damaged and unusual pictures: what every builder must do with each of them.

`PICTURES` maps a name to how a good picture is damaged and what comes of it: KEPT, or the reason of the drop.
"""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from tests.helpers.coco_source import jpeg

KEPT = "kept"
NO_IMAGE, TRUNCATED, TOO_MANY = "not_an_image", "truncated", "too_many_pixels"
Damage = Callable[[Image.Image], bytes]


def saved(picture: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_header(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def png_bomb(side: int) -> bytes:
    return png_header(side, side) + png_chunk(b"IDAT", zlib.compress(b""))


def grey16(picture: Image.Image) -> Image.Image:
    return Image.fromarray((np.asarray(picture.convert("L"), dtype=np.uint16)) * 257)


def floats(picture: Image.Image, hole: float | None) -> bytes:
    values = np.asarray(picture.convert("L"), dtype=np.float32) * 257
    if hole is not None:
        values[10, 10] = hole
    return saved(Image.fromarray(values), "TIFF")


def with_alpha(picture: Image.Image) -> Image.Image:
    picture = picture.convert("RGBA")
    picture.putalpha(Image.linear_gradient("L").resize(picture.size).point(lambda value: 128 + value // 2))
    return picture


def flipped(picture: Image.Image) -> bytes:
    """One byte of the compressed picture changed: libjpeg shows what it can make of it."""
    content = bytearray(jpeg(picture))
    place = len(content) * 3 // 4
    content[place] = 0x55 if content[place] != 0x55 else 0x2A
    return bytes(content)


def oriented(picture: Image.Image, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return jpeg(picture, exif=exif)


def frames(picture: Image.Image) -> bytes:
    others = [Image.new("RGB", picture.size, colour) for colour in ("red", "blue")]
    return saved(picture, "GIF", save_all=True, append_images=others)


PICTURES: dict[str, tuple[Damage, str]] = {
    # No picture at all.
    "text": (lambda _: b"no picture", NO_IMAGE),
    "an error page": (lambda _: b"<!DOCTYPE html><html><body>404 Not Found</body></html>", NO_IMAGE),
    "zeros, as a crashed disk leaves them": (lambda _: bytes(4096), NO_IMAGE),
    "noise": (lambda _: np.random.default_rng(0).bytes(4096), NO_IMAGE),
    "the first three bytes of a JPEG": (lambda _: b"\xff\xd8\xff", NO_IMAGE),
    "a JPEG cut in its header": (lambda picture: jpeg(picture)[:40], NO_IMAGE),
    "an SVG that would load a file": (
        lambda _: b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        NO_IMAGE,
    ),
    "PostScript, which Pillow gives to Ghostscript": (lambda picture: saved(picture, "EPS"), NO_IMAGE),
    "a PDF": (lambda picture: saved(picture, "PDF"), NO_IMAGE),
    "an icon": (lambda picture: saved(picture, "ICO"), NO_IMAGE),
    "a pointer of Git LFS": (
        lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
        NO_IMAGE,
    ),
    "an empty zip": (lambda _: b"PK\x05\x06" + bytes(18), NO_IMAGE),
    "a PNG of no width": (lambda _: png_header(0, 240), NO_IMAGE),
    # Cut short or damaged inside.
    "half a JPEG": (lambda picture: half(jpeg(picture)), TRUNCATED),
    "a JPEG without its last bytes": (lambda picture: jpeg(picture)[:-300], TRUNCATED),
    "half a progressive JPEG": (lambda picture: half(jpeg(picture, progressive=True)), TRUNCATED),
    "half a PNG": (lambda picture: half(saved(picture, "PNG")), TRUNCATED),
    "a PNG without pixels": (lambda picture: png_header(*picture.size) + png_chunk(b"IDAT", b""), TRUNCATED),
    "a PNG whose pixels end early": (
        lambda picture: (
            png_header(*picture.size) + png_chunk(b"IDAT", zlib.compress(bytes(99))) + png_chunk(b"IEND", b"")
        ),
        TRUNCATED,
    ),
    "half a BMP": (lambda picture: half(saved(picture, "BMP")), TRUNCATED),
    "half a TIFF": (lambda picture: half(saved(picture, "TIFF")), TRUNCATED),
    "a TIFF with a number that is none": (lambda picture: floats(picture, float("nan")), TRUNCATED),
    "a TIFF with an infinite number": (lambda picture: floats(picture, float("inf")), TRUNCATED),
    # Too large to be decoded.
    "a PNG that promises 40,000 x 40,000 pixels": (lambda _: png_bomb(40_000), TOO_MANY),
    "a PNG that promises 2^31 - 1 pixels each way": (lambda _: png_bomb(2**31 - 1), TOO_MANY),
    "a JPEG of more pixels than are allowed": (lambda picture: jpeg(picture.resize((1200, 900))), TOO_MANY),
    # Unusual, and good.
    "a plain JPEG": (jpeg, KEPT),
    "a progressive JPEG": (lambda picture: jpeg(picture, progressive=True), KEPT),
    "a grey JPEG": (lambda picture: jpeg(picture.convert("L")), KEPT),
    "a CMYK JPEG": (lambda picture: jpeg(picture.convert("CMYK")), KEPT),
    "a JPEG with something behind it": (lambda picture: jpeg(picture) + b"<?php echo 1 ?>" * 100, KEPT),
    "a JPEG with a changed byte": (flipped, KEPT),
    "a JPEG with EXIF that is none": (lambda picture: jpeg(picture, exif=b"Exif\x00\x00nonsense"), KEPT),
    "a JPEG turned by 99": (lambda picture: oriented(picture, 99), KEPT),
    "a PNG": (lambda picture: saved(picture, "PNG"), KEPT),
    "a PNG with a palette": (lambda picture: saved(picture.quantize(64), "PNG"), KEPT),
    "a PNG with transparency": (lambda picture: saved(with_alpha(picture), "PNG"), KEPT),
    "a PNG of 16 bits": (lambda picture: saved(grey16(picture), "PNG"), KEPT),
    "a WebP": (lambda picture: saved(picture, "WEBP", quality=90), KEPT),
    "an animated GIF": (frames, KEPT),
    "a BMP": (lambda picture: saved(picture, "BMP"), KEPT),
    "a TIFF of floats": (lambda picture: floats(picture, None), KEPT),
}
