"""Small English that captions and messages need."""

from collections.abc import Callable, Sequence


class Spaces(dict[int, str]):
    """For `str.translate`: a space in place of every letter that is none of the wanted ones, found out once each.

    Args:
        wanted: Says of a letter whether it stays.
    """

    def __init__(self, wanted: Callable[[str], bool]) -> None:
        super().__init__()
        self._wanted = wanted

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        self[code] = letter if self._wanted(letter) else " "
        return self[code]


_PRINTABLE = Spaces(str.isprintable)


def listed(parts: Sequence[str]) -> str:
    """`a dog`, `a dog and a cat`, `a dog, a cat and two people`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def one_line(text: str) -> str:
    """`text` on one line, without leading, trailing or double spaces and without control characters."""
    return " ".join(text.translate(_PRINTABLE).split())
