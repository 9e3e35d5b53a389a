"""Four condition images of our own making, to try things with:  python -m ipai.toyworld.example_pictures examples"""

import sys
from pathlib import Path

from PIL import Image

from ipai.toyworld.factors import draw_portraits, draw_scenes
from ipai.toyworld.render import render

_SIDE = 256  # px
_SEED = 7


def example_pictures() -> dict[str, Image.Image]:
    """Two scenes and two portraits by name, RGB of 256 px."""
    scenes, portraits = draw_scenes(_SEED, 0, 2), draw_portraits(_SEED, 0, 2)
    pictures = [*render(scenes, _SIDE), *render(portraits, _SIDE)]
    names = ("scene-1", "scene-2", "portrait-1", "portrait-2")
    return {name: Image.fromarray(picture) for name, picture in zip(names, pictures, strict=True)}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for name, picture in example_pictures().items():
        picture.save(folder / f"{name}.png")
