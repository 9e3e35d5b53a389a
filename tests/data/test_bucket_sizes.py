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


@pytest.mark.parametrize(
    ("config", "resolution", "multiple", "said"),
    [
        (BucketConfig(), 64, 64, None),
        (BucketConfig(2), 512, 64, None),
        (BucketConfig(2), 1024, 16, None),
        (BucketConfig(4), 64, 32, "draws multiples of 32; set data.buckets.step=32"),
        (BucketConfig(4, 32), 64, 32, None),
        (BucketConfig(4), 64, 64, "raise base.resolution, or set it to 1"),
        (BucketConfig(2), 64, 32, "raise it"),
        (BucketConfig(2, 512), 512, 64, "leaves the square alone; set data.buckets.step=64"),
        (BucketConfig(2, 48), 512, 64, "draws multiples of 64"),
    ],
)
def test_each_refusal_says_what_works(config: BucketConfig, resolution: int, multiple: int, said: str | None) -> None:
    problems = list(config.problems("toy", resolution, multiple))
    assert len(problems) == (said is not None)
    if said is not None:
        assert said in problems[0]
    if said is not None and "set data.buckets.step=" in said:
        assert not list(BucketConfig(config.max_aspect, multiple).problems("toy", resolution, multiple))
