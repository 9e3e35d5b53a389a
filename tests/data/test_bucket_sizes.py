import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipai.data.bucket_sizes import BucketConfig, nearest


def test_squares_are_the_default() -> None:
    assert BucketConfig().sizes(512) == ((512, 512),)


@given(st.sampled_from([64, 256, 512, 768, 1024]), st.floats(1, 4), st.sampled_from([None, 8, 32, 64]))
def test_sizes_have_about_the_squares_area_and_no_more(resolution: int, most: float, step: int | None) -> None:
    sizes = BucketConfig(most, step).sizes(resolution)
    assert sizes[0] == (resolution, resolution)
    assert len(set(sizes)) == len(sizes)
    assert {(width, height) for height, width in sizes} == set(sizes)  # as high as wide
    for height, width in sizes[1:]:
        assert max(height, width) / min(height, width) <= most
        assert height % (step or resolution // 8) == width % (step or resolution // 8) == 0
        assert resolution**2 - max(height, width) * (step or resolution // 8) < height * width <= resolution**2


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_the_nearest_shape_keeps_the_most(height: int, width: int) -> None:
    sizes = BucketConfig(max_aspect=2).sizes(512)

    def kept(size: tuple[int, int]) -> float:
        ratio = (size[1] / size[0]) / (width / height)
        return min(ratio, 1 / ratio)

    assert kept(sizes[nearest(height, width, sizes)]) == pytest.approx(max(map(kept, sizes)))


def test_settings_that_add_nothing_are_refused() -> None:
    assert not list(BucketConfig().problems(512))
    assert not list(BucketConfig(max_aspect=2).problems(512))
    (problem,) = BucketConfig(max_aspect=1.05).problems(512)
    assert "allows no size beside the square of 512 px in steps of 64" in problem
