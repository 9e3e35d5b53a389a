"""Reading what was written before: JSON and YAML of known form, from files that may be damaged or of somebody else.

A record is read whole, at most so large and so deep, and checked against a type by pydantic; what does not fit is a
`RecordError` that names the field. No reader has checks of its own.
"""

import logging
from collections.abc import Hashable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import yaml

if TYPE_CHECKING:
    from pydantic import TypeAdapter

log = logging.getLogger(__name__)

T = TypeVar("T")
MAX_BYTES = 256 << 20  # a sidecar of a large shard has megabytes; nothing of ours has more than this
_MAX_YAML_BYTES = 1 << 20
_MAX_DEPTH = 100


class RecordError(ValueError):
    """A record is damaged or of another form; the message says where."""


def parsed(data: str | bytes, form: type[T]) -> T:
    """A JSON text as an instance of `form`, which may be a dataclass or any annotation that pydantic reads.

    Raises:
        RecordError: It is no JSON, too deep, lacks a field, or one is of another type.
    """
    from pydantic import ValidationError  # a quarter of a second, which `--help` need not wait for

    try:
        return cast(T, _adapter(cast(Hashable, form)).validate_json(data, strict=True))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RecordError(f"{where}: {first['msg']}" if where else first["msg"]) from error


def read_record(path: Path, form: type[T]) -> T:
    """The JSON in a file as `parsed` reads it.

    Raises:
        OSError: The file cannot be read, or is none.
        RecordError: It is larger than `MAX_BYTES` or does not fit.
    """
    return parsed(_content(path, MAX_BYTES), form)


def read_json_lines(path: Path, form: type[T]) -> Iterator[T]:
    """The lines of a file of JSON lines that fit; others, such as one that a kill cut off, are told and left out."""
    for line in _content(path, MAX_BYTES).splitlines():
        try:
            yield parsed(line, form)
        except RecordError:
            log.warning("%s: left out a line that was cut off or changed: %.60s", path, line.decode(errors="replace"))


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file of plain values.

    Raises:
        OSError: The file cannot be read, or is none.
        RecordError: It is no mapping, too large or too deep, or holds aliases, which may grow without bound.
    """
    try:
        found = yaml.load(_content(path, _MAX_YAML_BYTES), _PlainLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError(str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    if not isinstance(found, dict):
        raise RecordError("it holds no mapping of keys to values")
    return found


class _PlainLoader(yaml.SafeLoader):
    """Values only: no aliases, and no more than `_MAX_DEPTH` within each other."""

    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it holds an alias (*name), which nothing here writes")
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise yaml.YAMLError(f"its values lie more than {_MAX_DEPTH} deep within each other")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def _content(path: Path, limit: int) -> bytes:
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise OSError(f"{path} is no file")
    if path.stat().st_size > limit:
        raise RecordError(f"it has {path.stat().st_size:,} bytes, more than {limit:,}")
    return path.read_bytes()


@cache
def _adapter(form: Hashable) -> "TypeAdapter[Any]":
    from pydantic import TypeAdapter

    return TypeAdapter(cast(type, form))


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Settings that are not what they were, as `key: then -> now`, in the order of their keys."""
    keys = sorted(key for key in then.keys() | now.keys() if then.get(key) != now.get(key))
    return [f"{key}: {then.get(key)} -> {now.get(key)}" for key in keys]
