import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_builders.celeba.geometry import are_usable, face_square, hq_face_square
from tests.helpers.celeba_source import LANDMARKS, SIZE


def test_the_face_of_an_aligned_picture() -> None:
    left, top, side = face_square(LANDMARKS, *SIZE, scale=2.8) or (0, 0, 0)
    assert side == pytest.approx(2.8 * 42, abs=2)  # from between the eyes to between the corners of the mouth
    assert left + side / 2 == pytest.approx(89, abs=1)
    assert top + side / 2 == pytest.approx(132, abs=1)


numbers = st.lists(st.integers(-300, 500), min_size=10, max_size=10).map(tuple)


@given(numbers, st.integers(1, 300), st.integers(1, 300), st.floats(1, 4))
def test_the_square_lies_in_the_picture(landmarks: tuple[int, ...], width: int, height: int, scale: float) -> None:
    for square in (face_square(landmarks, width, height, scale), hq_face_square(width, height, scale)):
        if square is not None:
            left, top, side = square
            assert side >= 1
            assert 0 <= left <= width - side
            assert 0 <= top <= height - side


def test_a_face_outside_of_the_picture_has_no_square() -> None:
    assert face_square(LANDMARKS, 50, 50, 2.8) is None


def test_the_face_of_celeba_hq() -> None:
    assert hq_face_square(1024, 1024, 2.8) == (154, 256, 717)
    assert hq_face_square(1024, 1024, 4.0) == (0, 0, 1024)


def test_landmarks_in_one_point_are_unusable() -> None:
    assert are_usable(LANDMARKS)
    assert not are_usable((5, 5) * 5)
