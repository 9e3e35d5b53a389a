"""The toy world's colours, as RGB in 0..1, in the order of the names in `ipai.toyworld.factors`."""

import numpy as np


def _rgb(*codes: str) -> np.ndarray:
    """Hexadecimal colours as fp32 [N, 3]."""
    return np.array([[int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)] for code in codes], dtype=np.float32)


OBJECT_COLOURS = _rgb("d62222", "f08a18", "f5d80a", "23a046", "19d2d8", "2448d8", "8a2fc0", "f25fb0")
# The second tone of a two-tone object of each colour: white on what is dark, dark on what is light.
MARK_TONES = _rgb("ffffff", "5a2a00", "6a4a00", "ffffff", "0a4a5e", "ffffff", "ffffff", "6e0f3e")
# The top and the bottom of each background's gradient.
BACKGROUND_TOPS = _rgb("a4d2fa", "ecdcae", "1c2450", "aeeebf", "8f8f8f", "7a4f2e", "ffffff", "d2b8f0")
BACKGROUND_BOTTOMS = _rgb("86b0dc", "d2b884", "0e1230", "7cc48c", "6e6e6e", "563418", "dadce2", "b08fd8")
SKIN_COLOURS = _rgb("fbe0cf", "eebb94", "cf9a62", "9a6238", "56341f")
HAIR_COLOURS = _rgb("1a1614", "f0cf58", "cc5218", "a2a2a6", "2b4fd0", "f06cb4", "2c9a4e")

PAPER = _rgb("f8f4ea")[0]
INK = _rgb("0c0a0a")[0]
SEPIA_LIGHT = _rgb("f0d8a8")[0]
WHITE = _rgb("ffffff")[0]
LIPS = _rgb("b02430")[0]
MOUTH = _rgb("7a1420")[0]
SHIRT = _rgb("4a566c")[0]
