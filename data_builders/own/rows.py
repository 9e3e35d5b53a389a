"""What is known of one picture, whatever form the source has, and what every form of source can do."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ipai.errors import DataError
from ipai.words import one_line

PICTURES = ("target", "condition", "mask")
TEXTS = ("prompt", "cond_prompt", "slot", "group", "licence")
# What others call the same, in the order in which it is looked for; `file_name` and `text` are Hugging Face's names.
_ALSO = {"target": ("file_name",), "prompt": ("text", "caption", "txt")}


@dataclass(frozen=True, slots=True)  # of which there may be millions
class Row:
    """One picture, and what is known of it.

    Attributes:
        target: Its name in the source.
        condition: Likewise, where the source names one.
        prompt, cond_prompt: Captions, where there are some.
        slot: Name of the object.
        group: What pictures of one style or of one person have in common.
        licence: Name of its licence, where the source says it.
        mask: Name of its mask.
    """

    target: str
    condition: str | None = None
    prompt: str | None = None
    cond_prompt: str | None = None
    slot: str | None = None
    group: str | None = None
    licence: str | None = None
    mask: str | None = None


class Pictures(Protocol):
    """A source of pictures. It must pickle, and hold no open file."""

    def rows(self) -> list[Row]:
        """Every row, in an order that depends on the source alone.

        Raises:
            DataError: The source is missing or damaged; the place and the mend are named.
        """
        ...

    def called(self, name: str) -> str:
        """A picture's name as records say it."""
        ...

    def read(self, name: str) -> bytes:
        """The encoded picture that a row names.

        Raises:
            Drop: It is not there.
            DataError: The disk or the permissions refuse the reading.
        """
        ...


def texts_of(values: Mapping[str, Any], columns: Mapping[str, str], where: str) -> dict[str, str | None]:
    """What a line, a sample or a record says under each of our names but the pictures'.

    Args:
        values: What it holds, by its own names.
        columns: Ours -> its own, where they differ.
        where: The line or the sample, for messages.

    Raises:
        DataError: A value is no text.
    """
    return {name: value_of(name, values, columns, where) for name in TEXTS}


def value_of(name: str, values: Mapping[str, Any], columns: Mapping[str, str], where: str) -> str | None:
    """The text under one of our names; None where there is none. Raises DataError as `texts_of` does."""
    theirs = [columns[name]] if name in columns else [name, *_ALSO.get(name, ())]
    value = next((values[key] for key in theirs if values.get(key) not in (None, "")), None)
    if value is None or (isinstance(value, float) and math.isnan(value)):  # how tables write what is missing
        return None
    if name == "group" and isinstance(value, int):  # identities are often numbers
        value = str(value)
    if not isinstance(value, str):
        raise DataError(
            f"{where}: {name} is {json.dumps(value, default=str)[:60]}, not text; source.columns.{name}=... names "
            "another column"
        )
    return one_line(value) or None


def flattened(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values with those in dictionaries beside them, as `caption` and as `json.caption`; what stood there wins."""
    flat = dict(values)
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{key}": item for key, item in value.items()}
            flat = {**value, **flat}
    return flat
