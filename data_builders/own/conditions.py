"""Conditions that are made of the target: an object alone, and the same forms in other colours."""

import numpy as np
from PIL import Image

from data_builders.coco.geometry import condition_square, target_square
from data_builders.engine.image_files import Box, Square, cut
from data_builders.engine.keyed_hash import rank
from data_builders.engine.records import Drop


def object_box(mask: np.ndarray) -> Box:
    """left, top, width and height of what a mask shows, bool [H, W]; raises Drop where that is nothing."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        raise Drop("empty_mask")
    return float(columns[0]), float(rows[0]), float(columns[-1] - columns[0] + 1), float(rows[-1] - rows[0] + 1)


def object_alone(picture: Image.Image, mask: np.ndarray, margin: float, size: int, seed: int, name: str) -> Image.Image:
    """The object's own pixels on one colour that is keyed by seed and name, cut close."""
    red, green, blue = rank(seed, "colour", name)[:3]
    shown = np.where(mask[..., None], np.asarray(picture), np.array([red, green, blue], np.uint8))
    square = condition_square(object_box(mask), margin)
    return cut(Image.fromarray(shown), square, size, beyond=(red, green, blue))


def square_with(picture: Image.Image, mask: np.ndarray) -> Square:
    """The square of the shorter side that holds the object as far as it can."""
    square, _ = target_square(*picture.size, object_box(mask))
    return square


def recoloured(picture: Image.Image, seed: int, name: str) -> Image.Image:
    """The same edges in other colours: channels exchanged, some inverted, another contrast, keyed by seed and name."""
    lots = rank(seed, "colours", name)
    order = np.argsort([lots[0], lots[1], lots[2]])
    pixels = np.asarray(picture, np.float32)[..., order] / 255
    inverted = np.array([lots[3] & 1, lots[4] & 1, lots[5] & 1], bool)
    pixels = np.where(inverted, 1 - pixels, pixels) ** (0.6 + lots[6] / 255)
    return Image.fromarray(np.round(pixels * 255).astype(np.uint8))
