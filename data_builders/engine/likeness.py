"""How alike two pictures are, whatever their size and compression."""

from PIL import Image


def perceptual_hash(picture: Image.Image) -> int:
    """64 bits: whether the brightness rises from cell to cell along each row of a 9 x 8 miniature (difference hash)."""
    cells = picture.convert("L").resize((9, 8), Image.Resampling.BOX).tobytes()
    bits = 0
    for row in range(8):
        for left in range(row * 9, row * 9 + 8):
            bits = bits << 1 | (cells[left] < cells[left + 1])
    return bits


def hash_distance(first: int, second: int) -> int:
    """In how many of their 64 bits two hashes differ: 0..64; unrelated pictures differ in about half of them."""
    return (first ^ second).bit_count()
