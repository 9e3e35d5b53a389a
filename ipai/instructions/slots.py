"""The slot of an instruction, `{object}`, and what takes its place: the object's name, with the right article."""

import re
import unicodedata

from ipai.errors import InstructionError
from ipai.tasks import TASKS

MAX_NAME_LENGTH = 100

_SLOTS = {f"{{{task.slot}}}" for task in TASKS.values() if task.slot}
_SLOT = re.compile(
    r"(?:(?<!\w)(?P<article>[Aa][Nn]?)(?P<space>\s+))?(?:" + "|".join(map(re.escape, sorted(_SLOTS))) + ")"
)
_BRACED = re.compile(r"\{[^{}]*\}|[{}]")

# Words whose first sound is not what their first letter suggests.
_SILENT_H = re.compile(r"(?:hour|honest|honor|honour|heir)", re.IGNORECASE)
_CONSONANT = re.compile(
    r"(?:eu|ew|ou[ij]|one(?:\b|s)|once\b|ukul|uni(?![nmr]|d[ei])|us[aeu]|usb|ut[eio]|ur[ai]n|ub[io]|ufo)", re.IGNORECASE
)
_VOWEL_LETTERS = "AEFHILMNORSX"  # whose names begin with a vowel sound: an X-ray, an SUV


def slots_in(text: str) -> list[str]:
    """What stands in braces in `text`, braces included, and any brace without its partner."""
    return _BRACED.findall(text)


def fill_slot(template: str, name: str | None) -> str:
    """Put `name` in the place of every `{object}`; "a" or "an" right before it is set right: an apple, a unicorn.

    A template without a slot is returned as it is, whatever the name. The name itself is not changed, only trimmed.

    Args:
        template: An instruction; the only braces in it are those of slots.
        name: What the object is called, such as "fire hydrant"; None where the sample has no object.

    Raises:
        InstructionError: The slot is not a known one, or the name is missing or is not a name (empty, over 100
            characters, or holding braces, line breaks or other control characters).
    """
    slots = slots_in(template)
    if not slots:
        return template
    for slot in slots:
        if slot not in _SLOTS:
            raise InstructionError(
                f"unknown placeholder {slot!r} in the instruction {template!r}; known: {', '.join(sorted(_SLOTS))}"
            )
    if name is None:
        raise InstructionError(
            f"the instruction {template!r} needs the name of an object, and the sample has none; "
            'write the name into "slot" of the sample\'s json, or use an instruction without a placeholder'
        )
    word = _checked(name)
    return _SLOT.sub(lambda match: _with_article(match, word), template)


def indefinite_article(name: str) -> str:
    """The article of `name`, "a" or "an", by its first sound as far as its letters tell.

    Knows silent h, u and eu spoken as "you", numbers (an 8-ball) and letters that are spelled out (an X-ray, an SUV).
    """
    word = name.lstrip("\"'“‘([ ")  # noqa: RUF001 (typographic quotation marks)
    if number := re.match(r"\d[\d,]*", word):
        digits = number[0].replace(",", "")
        return "an" if digits[0] == "8" or (digits[:2] in ("11", "18") and len(digits) % 3 == 2) else "a"
    first = re.split(r"[^A-Za-z]", word)[0]
    if _is_spelled_out(first):
        return "an" if first[0].upper() in _VOWEL_LETTERS else "a"
    if _SILENT_H.match(word):
        return "an"
    base = unicodedata.normalize("NFD", word[:1])[:1].lower()  # é counts as e
    return "an" if base in set("aeiou") and not _CONSONANT.match(word) else "a"


def _is_spelled_out(word: str) -> bool:
    """Whether `word` is read by its letters: a single one (x-ray), or capitals, few (SUV) or without a vowel (HDTV)."""
    return len(word) == 1 or (word.isupper() and (len(word) <= 3 or not set("AEIOU") & set(word)))


def _with_article(match: re.Match[str], name: str) -> str:
    written = match["article"]
    if written is None:
        return name
    article = indefinite_article(name)
    if written[0].isupper():
        article = article.upper() if len(written) > 1 and written.isupper() else article.capitalize()
    return f"{article}{match['space']}{name}"


def _checked(name: str) -> str:
    trimmed = name.strip(" ")
    if not trimmed:
        raise InstructionError('the name of an object is empty; write it into "slot" of the sample\'s json')
    if len(trimmed) > MAX_NAME_LENGTH:
        raise InstructionError(
            f"the name of an object has {len(trimmed)} characters, more than {MAX_NAME_LENGTH}: {trimmed[:40]!r}..."
        )
    # Cc: control characters and line breaks; Cf: invisible formatting; Zl, Zp: line and paragraph separators.
    strange = [char for char in trimmed if char in "{}" or unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    if strange:
        raise InstructionError(f"the name of an object, {trimmed!r}, holds {strange[0]!r}; use plain text on one line")
    return trimmed
