"""Small English that captions and messages need."""

from collections.abc import Sequence


def listed(parts: Sequence[str]) -> str:
    """`a dog`, `a dog and a cat`, `a dog, a cat and two people`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def one_line(text: str) -> str:
    """`text` on one line, without leading, trailing or double spaces and without control characters."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
