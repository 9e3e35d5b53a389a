"""Settings as dataclasses: unknown keys, wrong types and values out of bounds are refused with the key and the mend.

A field says in its metadata what it may be: `steps: int = field(metadata=above(0))`. A number of floating point must be
finite. What depends on several fields is code beside the dataclass, for `refuse`.
"""

import difflib
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ipai.errors import ConfigError

MAX_SEED = 2**63 - 1
MAX_LETTERS = 10_000  # of a prompt: more than any encoder reads, less than makes a visitor's browser wait
MAX_STEPS = 1000  # of a sampler: the length of every noise schedule here

# What people write for a model to read: here a line break does no harm.
_TEXTS = ("prompt", "negative", "instruction", "fixed", "five", "template", "object")
_DOLLAR = re.compile(r"(\\*)(\$\{)")


def above(limit: float) -> dict[str, Any]:
    """A number greater than `limit`, or each of several."""
    return {"above": limit}


def at_least(limit: float) -> dict[str, Any]:
    """A number not less than `limit`, or each of several."""
    return {"at_least": limit}


def between(low: float, high: float) -> dict[str, Any]:
    """A number from `low` to `high`, or each of several."""
    return {"between": (low, high)}


def one_of(*choices: Any) -> dict[str, Any]:
    """One of `choices`; in a list each, in a dictionary each key."""
    return {"one_of": choices}


def letters(most: int) -> dict[str, Any]:
    """A text of at most so many letters."""
    return {"letters": most}


SEED = between(0, MAX_SEED)
STEPS = between(1, MAX_STEPS)


def refuse(problems: Iterable[str]) -> None:
    """Raise a ConfigError that lists `problems`, if there are any."""
    listed = [f"  - {problem}" for problem in problems]
    if listed:
        raise ConfigError("these settings cannot work:\n" + "\n".join(listed))


def suggestion(word: str, known: Iterable[str]) -> str:
    """`; did you mean ...?` where one of `known` is near to a word, else nothing."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def typed(raw: DictConfig, schema: type) -> Any:
    """Check `raw` against the dataclass `schema` and return an instance of it.

    Raises:
        ConfigError: A key is unknown, missing (`???`), cannot be interpolated, has the wrong type or is out of bounds.
    """
    given = OmegaConf.create(OmegaConf.to_container(raw))
    unknown = list(_unknown_keys(given, schema))
    if unknown:
        raise ConfigError("\n".join(unknown))
    _list_single_values(given, schema)
    try:
        merged = OmegaConf.merge(OmegaConf.structured(schema), given)
        missing = OmegaConf.missing_keys(merged)
        if missing:
            raise ConfigError("give a value to " + ", ".join(f"{key}=..." for key in sorted(missing)))
        strange = list(_control_characters(OmegaConf.to_container(merged, resolve=True)))
        if strange:
            raise ConfigError("\n".join(strange))
        config = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None)
        raise ConfigError(f"{key or 'the configuration'}: {str(error).splitlines()[0]}") from error
    refuse(out_of_bounds(config))
    return config


def plain(value: Any) -> Any:
    """Saved or foreign values (nested lists and dictionaries) as `typed` takes them literally: `${...}` is text."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    # A backslash keeps OmegaConf from looking up what follows; those that stand there already are doubled.
    return _DOLLAR.sub(lambda found: 2 * found[1] + "\\" + found[2], value) if isinstance(value, str) else value


def strings(node: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """The texts in nested dictionaries and lists, by their dotted keys."""
    if isinstance(node, dict | list):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from strings(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(node, str):
        yield prefix, node


def out_of_bounds(config: Any, prefix: str = "") -> Iterator[str]:
    """What the metadata of a dataclass's fields, and of those in it, forbids: a message each."""
    for item in fields(config):
        name, value = f"{prefix}{item.name}", getattr(config, item.name)
        if is_dataclass(value):
            yield from out_of_bounds(value, f"{name}.")
        elif isinstance(value, list) and value and is_dataclass(value[0]):
            for number, one in enumerate(value):
                yield from out_of_bounds(one, f"{name}[{number}].")
        elif isinstance(value, dict) and any(map(is_dataclass, value.values())):
            for key, one in value.items():
                yield from out_of_bounds(one, f"{name}.{key}.")
        elif value is not None:
            yield from _problems_of(name, value, item.metadata)


def _problems_of(name: str, value: Any, bounds: Mapping[str, Any]) -> Iterator[str]:
    choices, single = bounds.get("one_of"), not isinstance(value, dict | list | tuple)
    if choices is not None:
        for one in [value] if single else value:
            if one not in choices:
                listed = [str(choice) for choice in choices]
                yield f"{name}={one} is none of {', '.join(listed)}{suggestion(str(one), listed)}"
    if isinstance(value, str) and len(value) > bounds.get("letters", len(value)):
        yield f"{name} has {len(value):,} letters, and at most {bounds['letters']:,} are read"
    numbers = [value] if single else value.values() if isinstance(value, dict) else value
    for number in numbers:
        if isinstance(number, int | float) and not isinstance(number, bool):
            wrong = _out_of(number, bounds)
            if wrong:
                yield f"{name}={value} {wrong}"
                return


def _out_of(number: float, bounds: Mapping[str, Any]) -> str | None:
    if not math.isfinite(number):
        return "must be a finite number"
    if "above" in bounds and not number > bounds["above"]:
        return f"must be above {bounds['above']}"
    if "at_least" in bounds and number < bounds["at_least"]:
        limit = bounds["at_least"]
        return f"must be at least {limit}" if limit else "must not be negative"
    low, high = bounds.get("between", (number, number))
    return None if low <= number <= high else f"must lie between {low} and {high}"


def _control_characters(node: Any) -> Iterator[str]:
    """Names, paths and what is handed to other programs that hold line breaks or other control characters."""
    for key, text in strings(node):
        if not set(_TEXTS) & set(key.split(".")) and any(unicodedata.category(letter) == "Cc" for letter in text):
            yield f"{key}={text!r} holds a control character, such as a line break; leave it out"


def _list_single_values(node: Any, schema: Any, prefix: str = "") -> None:
    """Take one value for a list of one: `seeds=5`. `keys=[a=1,b=2]` is one text as Hydra reads it, and meant a list."""
    hints = get_type_hints(schema)
    for key in [key for key in map(str, node) if not OmegaConf.is_missing(node, key)]:
        if OmegaConf.is_interpolation(node, key):
            continue
        if is_dataclass(hints[key]) and isinstance(node[key], DictConfig):
            _list_single_values(node[key], hints[key], f"{prefix}{key}.")
        elif "list[" in str(hints[key]) and isinstance(node[key], str | int | float):
            value = node[key]
            if isinstance(value, str) and value.startswith("[") and value.endswith("]"):
                name = f"{prefix}{key}"
                mend = f"""quote each item of the list: '{name}=["...","..."]'"""
                raise ConfigError(f"{name}={value} is one text as Hydra reads it; {mend}")
            node[key] = [value]


def _unknown_keys(node: Any, schema: Any, prefix: str = "") -> Iterator[str]:
    if not (is_dataclass(schema) and isinstance(node, DictConfig)):
        return
    hints = get_type_hints(schema)
    known = {item.name for item in fields(schema)}
    for key in map(str, node):
        name = f"{prefix}{key}"
        if key not in known:
            near = suggestion(name, (f"{prefix}{one}" for one in known))
            yield f"there is no key {name}{near or '; it holds ' + ', '.join(sorted(known))}"
        elif not OmegaConf.is_missing(node, key) and not OmegaConf.is_interpolation(node, key):
            yield from _unknown_keys(node[key], hints[key], f"{name}.")
