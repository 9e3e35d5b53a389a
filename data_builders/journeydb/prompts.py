"""From a Midjourney prompt to the text that it describes the picture with."""

import re

from data_builders.engine.keyed_hash import digest_of
from ipai.words import Spaces, one_line

_URL = re.compile(r"<?\bhttps?://[^\s>]+>?")
# Phones turn two hyphens into a dash, or one of them. After a dash, a space, or a word without a space between
# ("16:9--v 4"), only a known name is a flag: "cat -- sleeping" is text.
_NAMES = (
    "no|aspect|ar|version|v|niji|quality|q|stylize|s|style|chaos|c|seed|sameseed|iw|stop|weird|repeat|r|width|w|height|h|"
    "sref|sw|cref|cw|tile|test|testp|upbeta|uplight|upanime|upext|creative|hd|video|fast|turbo|relax|raw|beta|vibe"
)
_DASHES = r"(?:--|[\u2013\u2014]-?|-[\u2013\u2014])\s?"
_TWO = r"(?:--|[\u2013\u2014]-|-[\u2013\u2014])\s?"
_KNOWN = rf"(?:(?<!\w){_DASHES}|(?<=\w){_TWO})(?:{_NAMES})\b"
_FLAG = rf"(?:(?<![-\w])--[a-z]+|{_KNOWN})"
_NUMBER = r"-?(?:\d[\d.]*|\.\d+)"
# `--no` takes words up to the next flag; `--style` and its like take one word; all others a number, a ratio or nothing.
_FLAGS = re.compile(
    r"(?=[-\u2013\u2014])(?<!-)(?:"  # most letters are no dash: they are passed by at once
    rf"(?:(?<!\w){_DASHES}|{_TWO})no\b.*?(?=\s*{_FLAG}|$)"
    rf"|(?:(?<!\w){_DASHES}|{_TWO})(?:style|profile|p)\s+\w+"
    rf"|{_FLAG}(?:\s*=?\s*{_NUMBER}(?:\s?[:/x]\s?\d[\d.]*)?)?"
    r")",
    re.IGNORECASE,
)
_WEIGHT = re.compile(r"::\s?(-?\d*\.?\d+)?")
_LETTERS_AND_DIGITS = Spaces(str.isalnum)
_COMMAS = re.compile(r"\s*,(?:\s*,)*\s*")


def clean(raw: str) -> str:
    """A prompt on one line, without flags, weights and image addresses; empty if no letter or digit is left.

    A part with a negative weight says what must not be in the picture, and goes too.

    >>> clean("<https://s.mj.run/x> red fox::2 snow , , --ar 3:2 --v 5")
    'red fox, snow'
    >>> clean("wide shot,--upbeta --ar 16:9--v 4 --iw .5 \u2013-seed 1 \u2013")
    'wide shot'
    """
    text = _FLAGS.sub(" ", _URL.sub(" ", one_line(raw)))
    text = _COMMAS.sub(", ", ", ".join(_wanted_parts(text)))
    text = one_line(text).strip(" ,;|-\u2013\u2014")
    return text if any(letter.isalnum() for letter in text) else ""


def group_of(prompt: str) -> str:
    """Names a prompt without telling it: 16 hexadecimal digits. Case and punctuation do not count."""
    return digest_of(prompt.casefold().translate(_LETTERS_AND_DIGITS).split())[:16]


def _wanted_parts(text: str) -> list[str]:
    """The parts of a weighted prompt (`this::2 that::-1`) whose weight is not negative."""
    pieces = _WEIGHT.split(text)
    weights = [float(weight or 1) for weight in pieces[1::2]]
    return [part for part, weight in zip(pieces[::2], [*weights, 1.0], strict=True) if weight >= 0 and part.strip(" ,")]
