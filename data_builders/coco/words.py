"""Small English for category names: articles and plurals."""

import re

# COCO's names that take no article and no number.
_UNCOUNTED = frozenset({"scissors", "skis", "broccoli"})
_IRREGULAR = {"person": "people", "sheep": "sheep", "mouse": "mice", "knife": "knives"}
_NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}
_AN = re.compile(r"[aeio]|u(?!ni)", re.IGNORECASE)


def with_article(name: str) -> str:
    """`an apple`, `a zebra`, `scissors`."""
    if name in _UNCOUNTED:
        return name
    return f"{'an' if _AN.match(name) else 'a'} {name}"


def counted(name: str, count: int) -> str:
    """`a dog`, `two dogs`, `several people` (beyond five)."""
    if count == 1 or name in _UNCOUNTED:
        return with_article(name)
    return f"{_NUMBERS.get(count, 'several')} {plural(name)}"


def plural(name: str) -> str:
    """`dogs`, `wine glasses`, `people`."""
    if name in _IRREGULAR:
        return _IRREGULAR[name]
    return name + ("es" if re.search(r"(s|x|ch|sh)$", name) else "s")
