"""What CLIP does not see: whether lines or colours of the condition came along, where they were not asked for.

In a style picture the lines should not agree with the condition's; in a structure picture they should, and the colours
need not.
"""

import cv2
import numpy as np
from PIL import Image

_CANNY = (100, 200)
_TOLERANCE = 1 / 64  # of the side, at least one pixel
_BINS = 6  # of each colour channel


def edge_f1(generated: Image.Image, condition: Image.Image) -> float:
    """How well the lines of two pictures agree, 0..1; a line pixel is met by a line within 1/64 of the side.

    Two pictures without any line agree fully.

    Args:
        generated: RGB.
        condition: RGB; taken to the generated one's size.
    """
    lines = [cv2.Canny(np.asarray(picture.convert("L")), *_CANNY) > 0 for picture in _alike(generated, condition)]
    if not any(map_.any() for map_ in lines):
        return 1.0
    width = 2 * max(1, round(generated.width * _TOLERANCE)) + 1
    near = [cv2.dilate(map_.astype(np.uint8), np.ones((width, width), np.uint8)) > 0 for map_ in lines]
    precision, recall = _share(lines[0], near[1]), _share(lines[1], near[0])
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def palette_distance(generated: Image.Image, condition: Image.Image) -> float:
    """How much two pictures' colours differ, 0..1: the total variation between their joint RGB histograms."""
    shares = []
    for picture in _alike(generated, condition):
        pixels = np.asarray(picture).reshape(-1, 3)
        counts, _ = np.histogramdd(pixels, bins=(_BINS,) * 3, range=((0, 256),) * 3)
        shares.append(counts / len(pixels))
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def _alike(generated: Image.Image, condition: Image.Image) -> tuple[Image.Image, Image.Image]:
    side = min(condition.size)
    left, upper = (condition.width - side) // 2, (condition.height - side) // 2
    square = condition.convert("RGB").crop((left, upper, left + side, upper + side))
    return generated.convert("RGB"), square.resize(generated.size, Image.Resampling.BICUBIC)


def _share(lines: np.ndarray, near: np.ndarray) -> float:
    return float((lines & near).sum() / lines.sum()) if lines.any() else 0.0
