"""Mixtures of scenes and portraits."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from ipai.toyworld.captions import WORDINGS
from ipai.toyworld.render import render
from ipai.toyworld.sources.source_files import choices, chunks, draw_mixture, jpeg, png, shuffled, variants_of


def test_a_picture_and_a_choice_do_not_depend_on_the_count() -> None:
    long, short = draw_mixture(5, 90), draw_mixture(5, 40)
    assert np.array_equal(long[:40].pixels(16), short.pixels(16))
    assert np.array_equal(choices(5, 90, 3)[:, :40], choices(5, 40, 3))


def test_pixels_and_captions_are_of_the_kind_that_the_row_says() -> None:
    mixture = draw_mixture(1, 40)
    captions, pixels = mixture.captions(np.arange(40)), mixture.pixels(32)
    for row, caption in enumerate(captions):
        kind = mixture.portraits if mixture.is_portrait[row] else mixture.scenes
        assert np.array_equal(pixels[row], render(kind[row : row + 1], 32)[0])
        assert ("person" in caption) == mixture.is_portrait[row]


def test_three_tenths_are_portraits_and_nothing_goes_with_it() -> None:
    mixture = draw_mixture(2, 4000)
    assert 0.27 < mixture.is_portrait.mean() < 0.33
    for draws in choices(2, 4000, 3):
        assert abs(np.corrcoef(mixture.is_portrait, draws)[0, 1]) < 0.05
    for style in (mixture.scenes.style, mixture.portraits.style):
        assert abs(np.corrcoef(mixture.is_portrait, style)[0, 1]) < 0.05


def test_pictures_that_tell_of_another_share_its_caption_and_nothing_else() -> None:
    mixture = draw_mixture(3, 60)
    others = np.zeros(60, int) + np.flatnonzero(~mixture.is_portrait)[0]
    told = mixture.telling_of(others)
    assert len(set(told.captions(np.zeros(60, int)))) == 1
    assert not told.is_portrait.any()
    assert np.array_equal(told.scenes.place, mixture.scenes.place)
    assert np.array_equal(told.scenes.style, mixture.scenes.style)


def test_variants_cover_all_wordings() -> None:
    assert set(variants_of(choices(0, 2000, 1)[0])) == set(range(WORDINGS))
    assert variants_of(np.array([0.0, np.nextafter(1, 0)])).tolist() == [0, WORDINGS - 1]


@pytest.mark.parametrize("count", [1, 49, 50, 51, 120])
def test_chunks_cover_every_row_once(count: int) -> None:
    assert [row for rows in chunks(count) for row in range(rows.start, rows.stop)] == list(range(count))


def test_shuffling_loses_nothing() -> None:
    assert sorted(shuffled(1, 100).tolist()) == list(range(100))
    assert shuffled(1, 100).tolist() != shuffled(2, 100).tolist()


def test_files_hold_the_pixels() -> None:
    pixels = draw_mixture(4, 1).pixels(64)[0]
    assert np.array_equal(np.asarray(Image.open(BytesIO(png(pixels)))), pixels)
    photo = Image.open(BytesIO(jpeg(pixels)))
    assert np.abs(np.asarray(photo).astype(int) - pixels).mean() < 4
    assert photo.layer[0][1:3] == (1, 1)  # type: ignore[attr-defined]  # 4:4:4
    assert Image.open(BytesIO(jpeg(pixels[..., 0]))).mode == "L"
