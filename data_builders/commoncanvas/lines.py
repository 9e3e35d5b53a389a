"""Edge maps: white lines on black, how much they cover, and how well one map follows another."""

import cv2
import numpy as np
from PIL import Image

from data_builders.commoncanvas.config import Edges

EdgeMap = np.ndarray
"""uint8, `[height, width]`, 0 or 255."""


def edge_map(picture: Image.Image, edges: Edges) -> EdgeMap:
    """The lines of an RGB picture at its own size; a map that is resized afterwards would turn grey."""
    found: EdgeMap = cv2.Canny(np.asarray(picture.convert("L")), edges.low, edges.high)
    return grown(found, edges.dilation)


def density(edges: EdgeMap) -> float:
    """The share of the picture that lines cover, 0..1."""
    return float(np.count_nonzero(edges)) / edges.size


def agreement(wanted: EdgeMap, drawn: EdgeMap, tolerance: int) -> float:
    """F1 of two maps, 0..1: a pixel of either counts as met where the other has a line within `tolerance` px."""
    precision = _share_met(drawn, grown(wanted, tolerance))
    recall = _share_met(wanted, grown(drawn, tolerance))
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def grown(edges: EdgeMap, pixels: int) -> EdgeMap:
    """Lines thickened by `pixels` on each side."""
    side = 2 * pixels + 1
    thick: EdgeMap = cv2.dilate(edges, np.ones((side, side), np.uint8)) if pixels else edges
    return thick


def _share_met(lines: EdgeMap, near: EdgeMap) -> float:
    count = np.count_nonzero(lines)
    return np.count_nonzero(np.logical_and(lines, near)) / count if count else 0.0
