import io
import pickle
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from ipai.data.images import ImageError, decode_image, square_box, to_square
from tests.helpers.shard_writer import encode, noise_image

LIMIT = 1_000_000


def png_claiming(width: int, height: int) -> bytes:
    """A PNG whose header promises far more than it holds."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


GOOD = encode(noise_image(0, 64), "JPEG")


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("no bytes", b"", "empty"),
        ("a text file", b"hello, I am not a picture", "not_an_image"),
        ("half a JPEG", GOOD[: len(GOOD) // 2], "truncated"),
        ("a JPEG header alone", GOOD[:20], "not_an_image"),
        ("a truncated PNG", encode(noise_image(0, 64))[:2000], "truncated"),
        ("a PNG that promises 2 gigapixels", png_claiming(60_000, 35_000), "too_large"),
        ("a PNG just above the limit", png_claiming(1001, 1000), "too_large"),
        ("a PNG with too little data", png_claiming(100, 100), "truncated"),
        ("an HTML error page", b"<html>404</html>", "not_an_image"),
    ],
)
def test_damaged_images_have_a_counted_reason(name: str, data: bytes, reason: str) -> None:
    with pytest.raises(ImageError) as refusal:
        decode_image(data, LIMIT)
    assert refusal.value.reason == reason
    copy = pickle.loads(pickle.dumps(refusal.value))  # as it comes from a worker process
    assert (copy.reason, str(copy)) == (reason, str(refusal.value))


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "YCbCr", "LAB"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    image = Image.new("RGB", (8, 8), (200, 30, 40)).convert("L" if mode == "LAB" else mode)
    kind = "JPEG" if mode in ("CMYK", "YCbCr") else "PNG"
    assert decode_image(encode(image, kind), LIMIT).mode == "RGB"


def test_cmyk_keeps_its_colour() -> None:
    data = encode(Image.new("RGB", (8, 8), (220, 20, 20)).convert("CMYK"), "JPEG", quality=100)
    assert np.abs(np.array(decode_image(data, LIMIT)).mean((0, 1)) - (220, 20, 20)).max() < 12


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    values = np.array([[0, 257 * 100, 65535]], dtype=np.uint16)
    decoded = np.array(decode_image(encode(Image.fromarray(values)), LIMIT))
    assert decoded[0, :, 0].tolist() == [0, 100, 255]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_becomes_white(mode: str) -> None:
    image = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    if mode == "P":
        image = Image.new("P", (4, 4), 0)
        data = encode(image, transparency=0)
    else:
        data = encode(image.convert(mode))
    assert np.array(decode_image(data, LIMIT)).min() == 255


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_turned_upright(orientation: int) -> None:
    upright = np.zeros((8, 16, 3), dtype=np.uint8)
    upright[:4, :4] = 255  # white in the upper left corner
    back = {
        1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]  # fmt: skip
    stored = Image.fromarray(upright) if back is None else Image.fromarray(upright).transpose(back)
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode_image(encode(stored, "PNG", exif=exif), LIMIT)
    assert np.array_equal(np.array(decoded), upright)


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    assert decode_image(buffer.getvalue(), LIMIT).getpixel((0, 0)) == (255, 0, 0)


def test_one_pixel_is_an_image() -> None:
    image = decode_image(encode(Image.new("RGB", (1, 1), "red")), LIMIT)
    assert to_square(image, square_box(image), 8).shape == (3, 8, 8)


def test_the_square_is_centred_and_shared_by_all_sizes() -> None:
    image = Image.new("RGB", (30, 10))
    image.paste((255, 255, 255), (10, 0, 20, 10))
    box = square_box(image)
    assert box == (10, 0, 20, 10)
    for size in (4, 16):
        assert torch.equal(to_square(image, box, size), torch.full((3, size, size), 255, dtype=torch.uint8))


@pytest.mark.parametrize("size", [32, 96, 224, 300])
def test_the_filter_is_pillows_bicubic_but_for_rounding(size: int) -> None:
    image = Image.fromarray(np.random.default_rng(size).integers(0, 256, (120, 200, 3), dtype=np.uint8))
    box = square_box(image)
    expected = np.array(image.crop(box).resize((size, size), Image.Resampling.BICUBIC), dtype=np.int16)
    found = to_square(image, box, size).permute(1, 2, 0).numpy()
    difference = np.abs(found - expected)
    assert difference.max() <= 2
    assert (difference > 0).mean() < 0.02
    assert (difference > 1).mean() < 1e-4
