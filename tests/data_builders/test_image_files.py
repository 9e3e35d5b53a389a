import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_builders.engine.image_files import cut, encode_jpeg, middle, middle_square, read_picture, visible
from data_builders.engine.records import Drop
from ipai.errors import DataError
from tests.helpers.coco_source import jpeg, textured
from tests.helpers.damaged_pictures import png_bomb


def read(folder: Path, content: bytes, size: tuple[int, int] | None = (40, 30), max_pixels: int = 10**6) -> Image.Image:
    path = folder / "picture"
    path.write_bytes(content)
    return read_picture(path, size, max_pixels)


def exif(orientation: int) -> Image.Exif:
    value = Image.Exif()
    value[0x0112] = orientation
    return value


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_every_colour_model_becomes_rgb(tmp_path: Path, mode: str) -> None:
    picture = textured(40, 30, 1)
    read_back = read(tmp_path, jpeg(picture.convert(mode), subsampling=0))
    assert (read_back.mode, read_back.size) == ("RGB", (40, 30))
    expected = np.asarray(picture.convert(mode).convert("RGB"), dtype=float)
    assert np.abs(np.asarray(read_back, dtype=float) - expected).mean() < 12


def test_a_picture_of_the_annotated_size_is_not_turned(tmp_path: Path) -> None:
    picture = textured(40, 30, 1)
    assert np.array_equal(read(tmp_path, jpeg(picture, exif=exif(3))), read(tmp_path, jpeg(picture)))


def test_a_picture_is_turned_where_only_that_gives_the_annotated_size(tmp_path: Path) -> None:
    upright = textured(40, 30, 1)
    lying = upright.transpose(Image.Transpose.ROTATE_90)
    turned = read(tmp_path, jpeg(lying, exif=exif(6), subsampling=0))
    assert np.abs(np.asarray(turned, dtype=float) - np.asarray(upright, dtype=float)).mean() < 6


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (jpeg(textured(40, 30, 1))[:-200], "truncated"),
        (b"no picture", "not_an_image"),
        (b"\xff\xd8\xff", "not_an_image"),
        (jpeg(textured(41, 30, 1)), "size_mismatch"),
        (jpeg(textured(30, 40, 1)), "size_mismatch"),
        (png_bomb(40_000), "too_many_pixels"),
        (jpeg(textured(1200, 900, 1)), "too_many_pixels"),
    ],
)
def test_unusable_pictures_are_dropped_by_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(Drop) as drop:
        read(tmp_path, content)
    assert drop.value.reason == reason


def test_a_missing_file_is_a_drop_and_a_refused_reading_is_not(tmp_path: Path) -> None:
    with pytest.raises(Drop, match="missing_file"):
        read_picture(tmp_path / "none.jpg", None, 10)
    with pytest.raises(DataError, match="cannot read"):
        read_picture(tmp_path, None, 10)


def test_a_cut_beyond_the_picture_is_filled() -> None:
    picture = Image.new("RGB", (10, 10), (255, 255, 255))
    pixels = np.asarray(cut(picture, (-5, -5, 20), 20, beyond=(9, 8, 7)))
    assert (pixels[0, 0] == (9, 8, 7)).all()
    assert (pixels[10, 10] == 255).all()
    assert (pixels[:4, :] == (9, 8, 7)).all()
    assert (pixels[5:15, 5:15].mean() > 250).all()


def test_the_jpeg_keeps_colour_at_full_resolution() -> None:
    decoded = Image.open(io.BytesIO(encode_jpeg(textured(40, 30, 1), 95)))
    assert [layer[1:3] for layer in decoded.layer] == [(1, 1)] * 3  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("size", "most", "made", "left"),
    [
        ((80, 60), 1.0, (32, 32), 60 / 80),
        ((80, 60), 2.0, (43, 32), 1.0),
        ((60, 240), 2.0, (32, 64), 0.5),
        ((240, 60), 4.0, (128, 32), 1.0),
    ],
)
def test_the_middle_keeps_the_shape_as_far_as_it_may(
    size: tuple[int, int], most: float, made: tuple[int, int], left: float
) -> None:
    picture = textured(*size, 1)
    found = middle(picture, 32, most)
    assert found.size == made
    assert visible(picture, most) == left
    if most == 1:
        assert np.array_equal(found, cut(picture, middle_square(*size), 32))
