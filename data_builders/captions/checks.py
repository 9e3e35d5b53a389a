"""Which captions are accepted. Each check says in a few words what is wrong, so that the model can mend it."""

import re
from collections.abc import Callable

VERSION = 1  # counts up when the checks accept other captions
_FEWEST_WORDS = 3
_LONGEST = 1000  # characters; no honest caption of 100 words has more

_REFUSAL = re.compile(
    r"^\W*(?:i['’]?m sorry|i am sorry|sorry\b|i apologi[sz]e|as an ai\b|i(?: am|['’]m) (?:not able|unable)"  # noqa: RUF001
    r"|i (?:can(?:no|['’])t|can not|won['’]t|will not|must decline)|unable to\b)",  # noqa: RUF001
    re.IGNORECASE,
)
_IMAGE = r"(?:image|picture|photo|photograph|portrait|painting|caption|snapshot|scene)"
_SPEAKS_OF_IMAGE = re.compile(
    rf"^\W*caption\s*:|^\W*(?:the|this|an?|here is an?)\s+(?:[\w-]+\s+){{0,3}}{_IMAGE}\s+"
    r"(?:shows|showing|shown|depicts|depicting|features|featuring|captures|displays|presents|contains|portrays|is|that)\b"
    rf"|\b(?:in|of) (?:the|this) {_IMAGE}\b",
    re.IGNORECASE,
)
# Words with a capital that name no one. Anything else with a capital is taken for a name.
_NAMELESS = re.compile(
    r"an?|the|one|two|three|i|its?|t-shirts?|v-neck|x-ray|tv|african|american|asian|european|caucasian|hispanic"
    r"|latin[ao]|indian|chinese|japanese|korean|black|white|english|french|german|italian|christmas|halloween",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d_][\w'’-]*")  # noqa: RUF001


def caption_fault(text: str, max_words: int, nameless: bool) -> str | None:
    """Why a caption cannot be used, or None.

    Args:
        text: As the model wrote it.
        max_words: The most words.
        nameless: Refuse capital letters that may begin a person's name. The prompt asks for lower case, so a capital
            is most often a name; a name in lower case is not found.
    """
    return next((fault for check in _checks(max_words, nameless) if (fault := check(text))), None)


def is_refusal(text: str) -> bool:
    """Whether a text declines to describe, in prose.

    >>> is_refusal("I'm sorry, I can't help with that.")
    True
    """
    return _REFUSAL.search(text) is not None


def _checks(max_words: int, nameless: bool) -> tuple[Callable[[str], str | None], ...]:
    def length(text: str) -> str | None:
        words = len(text.split())
        if words < _FEWEST_WORDS:
            return f"it has fewer than {_FEWEST_WORDS} words"
        return f"it has more than {max_words} words" if words > max_words or len(text) > _LONGEST else None

    def names(text: str) -> str | None:
        return "it has a capital letter as of a name" if nameless and _capitalised(text) else None

    return (_lines, _letters, length, _speaks_of_the_image, names)


def _lines(text: str) -> str | None:
    return "it has more than one line" if len(text.strip().splitlines()) > 1 else None


def _letters(text: str) -> str | None:
    strange = "\ufffd" in text or any(not letter.isprintable() for letter in text.strip())
    return "it has control characters, markup or braces" if strange or re.search(r"[{}<>]|```", text) else None


def _speaks_of_the_image(text: str) -> str | None:
    return 'it speaks of "the image"' if _SPEAKS_OF_IMAGE.search(text) else None


def _capitalised(text: str) -> bool:
    return any(word[0].isupper() and not _NAMELESS.fullmatch(word) for word in _WORD.findall(text))
