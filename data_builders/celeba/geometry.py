"""Which square of a picture is the face."""

import math

from data_builders.engine.image_files import Square

LANDMARKS = tuple(
    f"{point}_{axis}" for point in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth") for axis in "xy"
)
"""The columns of CelebA's landmarks."""

# CelebA-HQ was cut (Karras et al., arXiv 1710.10196, appendix C) upright, around a point a tenth of the way from the
# eyes to the mouth, with a side of 4 eye distances (3.6 distances from eyes to mouth where that is more). The two
# distances are about equal, so the middle between eyes and mouth lies at about 0.5 + 0.4 / 4 of the height.
_HQ_EYE_DISTANCES = 4.0
_HQ_MIDDLE = (0.5, 0.6)


def are_usable(landmarks: tuple[int, ...]) -> bool:
    """Whether eyes and mouth are apart from each other, so that they give a size."""
    return _distance(landmarks) >= 1


def face_square(landmarks: tuple[int, ...], width: int, height: int, scale: float) -> Square | None:
    """The square around the middle between eyes and mouth, or None if that lies outside of the picture.

    Its side is `scale` times the distance between the eyes, or that from eyes to mouth where it is longer (a turned
    head). It is moved, and if need be made smaller, to lie inside the picture.
    """
    (eyes_x, eyes_y), (mouth_x, mouth_y) = _middles(landmarks)
    middle = ((eyes_x + mouth_x) / 2, (eyes_y + mouth_y) / 2)
    if not (0 <= middle[0] < width and 0 <= middle[1] < height):
        return None
    return _square_around(middle, scale * _distance(landmarks), width, height)


def hq_face_square(width: int, height: int, scale: float) -> Square:
    """The same for CelebA-HQ: a fixed square, because its pictures are all cut by one rule and landmarks do not fit."""
    middle = (_HQ_MIDDLE[0] * width, _HQ_MIDDLE[1] * height)
    return _square_around(middle, scale / _HQ_EYE_DISTANCES * min(width, height), width, height)


def _square_around(middle: tuple[float, float], side: float, width: int, height: int) -> Square:
    whole = max(1, min(round(side), width, height))
    left = min(max(round(middle[0] - whole / 2), 0), width - whole)
    top = min(max(round(middle[1] - whole / 2), 0), height - whole)
    return left, top, whole


def _distance(landmarks: tuple[int, ...]) -> float:
    eyes, mouth = _middles(landmarks)
    return max(math.dist(landmarks[0:2], landmarks[2:4]), math.dist(eyes, mouth))


def _middles(landmarks: tuple[int, ...]) -> tuple[tuple[float, float], tuple[float, float]]:
    """The points between the eyes and between the corners of the mouth."""
    x, y = landmarks[0::2], landmarks[1::2]
    return ((x[0] + x[1]) / 2, (y[0] + y[1]) / 2), ((x[3] + x[4]) / 2, (y[3] + y[4]) / 2)
