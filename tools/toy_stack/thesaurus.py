"""Words by what they are about, from `thesaurus.yaml`, and neutral ones around them."""

from functools import cache
from pathlib import Path

from ipai.records import read_yaml
from ipai.toyworld.factors import OBJECTS

_FILE = Path(__file__).with_suffix(".yaml")


@cache
def words_about(task: str) -> tuple[str, ...]:
    """Words and phrases about what a task takes; the object's go on with the names of the objects."""
    words = tuple(read_yaml(_FILE)[task])
    if task != "object":
        return words
    return (*words, *(f"{article}{name}" for article in ("", "the ", "this ", "only the ") for name in OBJECTS))


@cache
def around() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What stands before and after a word of any kind."""
    content = read_yaml(_FILE)
    return tuple(content["before"]), tuple(content["after"])
