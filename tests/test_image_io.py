"""One decoder for training, builders, pipeline and page: the same pixels whichever way a picture comes in."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, UnidentifiedImageError

from data_builders.engine.image_files import decode_picture, read_picture
from ipai.data.images import as_seen, decode_image
from ipai.image_io import FORMATS, open_picture, to_rgb
from ipai.pipeline.encoding import _seen

_LIMIT = 1_000_000
_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
# Red and blue change places: a picture of (200, 30, 40) shows (40, 30, 200).
_SWAPPED = _SRGB.replace(b"rXYZ", b"....").replace(b"bXYZ", b"rXYZ").replace(b"....", b"bXYZ")
_KINDS = {
    "1": "PNG", "L": "PNG", "LA": "PNG", "P": "PNG", "RGB": "PNG", "RGBA": "PNG", "CMYK": "TIFF", "YCbCr": "JPEG",
    "I": "TIFF", "I;16": "PNG", "I;16B": "TIFF", "F": "TIFF", "LAB": "TIFF",
}  # fmt: skip
"""A format that keeps each mode as it is."""


def saved(picture: Image.Image, form: str) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form)
    return buffer.getvalue()


@pytest.mark.parametrize("form", FORMATS)
def test_the_known_formats_are_opened(form: str) -> None:
    assert to_rgb(open_picture(saved(Image.new("RGB", (4, 3), "red"), form))).size == (4, 3)


@pytest.mark.parametrize("form", ["EPS", "PDF", "ICO", "TGA", "PPM"])
def test_other_formats_are_not_even_looked_at(form: str) -> None:
    with pytest.raises(UnidentifiedImageError):
        open_picture(saved(Image.new("RGB", (16, 16), "red"), form))


@pytest.mark.parametrize("hole", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_are_refused(hole: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        to_rgb(Image.fromarray(np.array([[0.0, hole]], dtype=np.float32)))


def of_mode(mode: str, seed: int) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    if mode.startswith("I;16"):
        deep = np.random.default_rng(seed).integers(0, 65_536, (5, 7), dtype=np.uint16)
        if mode == "I;16":
            return Image.fromarray(deep)
        return Image.frombytes(mode, (7, 5), deep.astype(">u2").tobytes())
    if mode == "LAB":
        return Image.fromarray(values, "LAB")
    return Image.fromarray(values).convert(mode)


@settings(max_examples=60)
@given(
    mode=st.sampled_from(list(_KINDS)), seed=st.integers(0, 2**32 - 1), profile=st.sampled_from([None, _SRGB, _SWAPPED])
)
def test_every_way_in_gives_the_same_pixels(tmp_path_factory: Any, mode: str, seed: int, profile: bytes | None) -> None:
    buffer = io.BytesIO()
    of_mode(mode, seed).save(buffer, _KINDS[mode], **({"icc_profile": profile} if profile else {}))
    content = buffer.getvalue()
    path = tmp_path_factory.getbasetemp() / "picture"
    path.write_bytes(content)
    ways = [
        decode_image(content, _LIMIT),
        as_seen(Image.open(path), _LIMIT),
        decode_picture(content, None, _LIMIT),
        read_picture(path, (7, 5), _LIMIT),
        _seen(path),
        _seen(str(path)),
        _seen(Image.open(path)),
    ]
    pixels = [np.asarray(way) for way in ways]
    assert all(way.mode == "RGB" and "icc_profile" not in way.info for way in ways)
    assert all(np.array_equal(pixels[0], other) for other in pixels)


@pytest.mark.parametrize("mode", ["I", "I;16B", "F", "LAB", "CMYK", "RGBA", "RGBa", "La", "PA", "HSV"])
def test_what_no_png_holds_is_seen_too(mode: str) -> None:
    made = Image.new("RGB", (2, 2), (200, 30, 40))
    picture = {"LAB": _as_lab, "I;16B": lambda _: Image.frombytes("I;16B", (2, 2), b"\x80\x00" * 4)}.get(
        mode, lambda rgb: rgb.convert({"RGBa": "RGBA", "La": "LA"}.get(mode, mode)).convert(mode)
    )(made)
    seen = np.asarray(_seen(picture))[0, 0].astype(int)
    grey = 128 if mode == "I;16B" else 82
    expected = (grey,) * 3 if mode in ("I", "F", "La", "I;16B") else (200, 30, 40)
    assert np.abs(seen - expected).max() <= (25 if mode == "PA" else 6)  # a palette of 216 colours


def _as_lab(picture: Image.Image) -> Image.Image:
    return ImageCms.profileToProfile(
        picture, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (np.array([[0, 0.5, 1]], np.float32), [0, 128, 255]),
        (np.array([[0, 100, 255]], np.float32), [0, 100, 255]),
        (np.array([[-1, 0.5, *[1] * 200, 7]], np.float32), [0, 128, 255]),  # a highlight beyond 1
        (np.array([[0, 100, 255]], np.int32), [0, 100, 255]),
        (np.array([[0, 25_700, 65_535]], np.int32), [0, 100, 255]),
        (np.array([[0, 2**30, 2**31 - 1]], np.int32), [0, 128, 255]),
        (np.array([[0, 100, 255]], np.uint16), [0, 0, 1]),  # the mode says what its full scale is
    ],
)
def test_numbers_are_read_by_their_full_scale(values: np.ndarray, shown: list[int]) -> None:
    picture = Image.fromarray(values)
    form = "PNG" if values.dtype == np.uint16 else "TIFF"
    for way in (to_rgb(picture), decode_image(saved(picture, form), _LIMIT)):
        assert np.asarray(way)[0, :3, 0].tolist() == shown


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "AVIF", "TIFF"])
def test_a_colour_profile_is_obeyed_as_by_a_viewer(form: str) -> None:
    buffer = io.BytesIO()
    exact = {"WEBP": {"lossless": True}}.get(form, {})
    Image.new("RGB", (16, 16), (200, 30, 40)).save(buffer, form, icc_profile=_SWAPPED, quality=100, **exact)
    seen = np.asarray(decode_image(buffer.getvalue(), _LIMIT))[8, 8].astype(int)
    assert np.abs(seen - (40, 30, 200)).max() <= (6 if form in ("JPEG", "AVIF") else 1)


def test_a_profile_on_transparency_changes_the_colours_and_not_the_white() -> None:
    picture = Image.new("RGBA", (2, 1), (200, 30, 40, 255))
    picture.putpixel((1, 0), (200, 30, 40, 0))
    picture.info["icc_profile"] = _SWAPPED
    assert np.abs(np.asarray(to_rgb(picture)).astype(int)[0] - [(40, 30, 200), (255, 255, 255)]).max() <= 1


def test_the_usual_profile_changes_nothing_and_a_damaged_one_neither() -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8))
    for profile in (_SRGB, b"no profile", _SRGB[:200]):
        picture.info["icc_profile"] = profile
        assert np.array_equal(np.asarray(to_rgb(picture)), np.asarray(picture))


def test_the_callers_picture_is_left_as_it_was(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (4, 2), "red").save(tmp_path / "turned.jpg", exif=exif, icc_profile=_SWAPPED)
    picture = Image.open(tmp_path / "turned.jpg")
    assert _seen(picture).size == (2, 4)
    assert (picture.size, picture.info["icc_profile"], picture.getexif()[0x0112]) == ((4, 2), _SWAPPED, 6)


@pytest.mark.parametrize(("gamma", "shown"), [(45455, 128), (100000, 188), (55556, 146)])
def test_a_png_that_names_its_gamma_is_shown_by_it(gamma: int, shown: int) -> None:
    """Half the numbers' range is half the light where the gamma is 1, which sRGB writes as 188."""
    plain = saved(Image.new("RGB", (2, 2), (128, 128, 128)), "PNG")
    chunk = b"gAMA" + struct.pack(">I", gamma)
    content = plain[:33] + struct.pack(">I", 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + plain[33:]
    assert abs(int(np.asarray(decode_image(content, _LIMIT))[0, 0, 0]) - shown) <= 1
