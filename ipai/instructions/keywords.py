"""The key-word rule (paper section 3.2): an instruction that holds another task's key word is removed.

A key word counts in any case, as a whole word, in the singular, the plural or the possessive: style, Styles, style's.
Words that merely share its stem do not (stylistic, composed, objective, facing): the paper names words, and most
such words are innocent; facing is a direction. A hyphen ends a word, so face-to-face holds face.
"""

import re
from functools import cache

from ipai.tasks import TASKS, get_task


def foreign_keyword(text: str, task: str) -> str | None:
    """The first key word of another task than `task` in `text`, as it is written there; None if there is none.

    Templates are checked before their slot is filled: what an object is called is no choice of the instruction's.

    Raises:
        ConfigError: There is no such task.
    """
    found = _foreign(get_task(task).name).search(text)
    return found[0] if found else None


def holds_keyword(text: str, task: str) -> bool:
    """Whether `text` holds the key word of `task` itself; raises ConfigError if there is no such task."""
    return _words(get_task(task).keyword).search(text) is not None


@cache
def _foreign(task: str) -> re.Pattern[str]:
    return _words(*(other.keyword for other in TASKS.values() if other.name != task))


@cache
def _words(*keywords: str) -> re.Pattern[str]:
    stems = "|".join(map(re.escape, keywords))
    return re.compile(rf"(?<!\w)(?:{stems})s?(?:['’]s?)?(?!\w)", re.IGNORECASE)  # noqa: RUF001 (the typographic apostrophe)
