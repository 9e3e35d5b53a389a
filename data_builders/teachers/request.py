"""What one picture is made of. Imports nothing slow, so that a plan or a refusal need not wait for it."""

from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True)
class Request:
    """What one picture is made of.

    Attributes:
        prompt: Text prompt.
        seed: 0..2^63 - 1.
        picture: RGB square that steers the teacher: edges, or the style image; None for one that only reads.
        content: Caption of that picture, for the teacher that subtracts it.
    """

    prompt: str
    seed: int
    picture: Image.Image | None = None
    content: str = ""
