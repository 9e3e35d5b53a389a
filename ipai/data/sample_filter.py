"""Which samples of a data set are used: a condition on what their records say, such as `scores.visible > 0.95`.

The condition looks like Python and is none: it compares fields with constants, and nothing in it is ever run.
"""

import ast
import operator
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ipai.data.shard_scores import scored_record
from ipai.data.shards import ShardSet
from ipai.errors import ConfigError, DataError, SampleError

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.In: lambda value, among: value in among,
    ast.NotIn: lambda value, among: value not in among,
}
_HELP = (
    "it compares fields of the records with constants, such as "
    "scores.visible > 0.95 and source.licence.id in [4, 5], joined by and, or, not"
)
_DEEPEST = 20  # nested conditions


class SampleFilter:
    """A condition on a sample's record; a record without one of the fields fails the comparison that reads it.

    Args:
        text: The condition.

    Attributes:
        fields: The dotted fields that it reads.

    Raises:
        ConfigError: It is no such condition.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ConfigError(f"the condition {text!r} cannot be read ({error}); {_HELP}") from error
        try:
            self._check(tree, 0)
        except _NotAllowed as error:
            raise ConfigError(f"the condition {text!r} holds {error}; {_HELP}") from error
        parts = tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else [tree]
        self._parts = {ast.unparse(part): part for part in parts}
        self.fields = tuple(dict.fromkeys(_fields(tree)))

    def refusal(self, record: Mapping[str, Any]) -> str | None:
        """The first of the parts joined by `and` that a record does not meet; None if it meets them all."""
        for text, part in self._parts.items():
            if not _holds(part, record):
                missing = [name for name in _fields(part) if _value(record, name) is None]
                return f"no {missing[0]}" if missing else text
        return None

    def _check(self, node: ast.expr, depth: int) -> None:
        """Raise `_NotAllowed` at anything but comparisons of fields with constants, and what joins them."""
        if depth > _DEEPEST:
            raise _NotAllowed("conditions nested too deep")
        if isinstance(node, ast.BoolOp):
            for part in node.values:
                self._check(part, depth + 1)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            self._check(node.operand, depth + 1)
        elif isinstance(node, ast.Compare):
            if _name(node.left) is None:
                raise _NotAllowed(f"{ast.unparse(node.left)!r} where a field belongs")
            for kind, constant in zip(node.ops, node.comparators, strict=True):
                if type(kind) not in _COMPARE or len(node.ops) > 1:
                    raise _NotAllowed(f"{ast.unparse(node)!r}")
                listed = isinstance(kind, ast.In | ast.NotIn)
                if isinstance(_constant(constant), list) != listed:
                    raise _NotAllowed(f"{ast.unparse(constant)!r} where {'a list' if listed else 'one value'} belongs")
        else:
            raise _NotAllowed(f"{ast.unparse(node)!r}, which compares nothing")


class _NotAllowed(Exception):
    """Something that a condition may not hold, in words."""


def filtered(shards: ShardSet, wanted: SampleFilter) -> tuple[ShardSet, Counter[str]]:
    """What `split_by` gives; raises what it does, and DataError if no sample meets the condition."""
    kept, refused = split_by(shards, wanted)
    if not len(kept):
        reasons = ", ".join(f"{why}: {count:,}" for why, count in refused.most_common())
        raise DataError(f"the filter leaves no {shards.split} sample of {shards.task} ({reasons}); loosen it")
    return kept, refused


def split_by(shards: ShardSet, wanted: SampleFilter) -> tuple[ShardSet, Counter[str]]:
    """The samples that meet a condition, and how many of the others failed which part of it.

    Raises:
        ConfigError: No record has one of the fields.
    """
    kept, refused = [], Counter[str]()
    seen: set[str] = set()
    for index in range(len(shards)):
        try:
            record = scored_record(shards, index)
        except SampleError:
            kept.append(index)  # counted and skipped where samples are read
            continue
        seen.update(fields_of(record))
        why = wanted.refusal(record)
        if why is None:
            kept.append(index)
        else:
            refused[why] += 1
    unknown = [name for name in wanted.fields if name not in seen]
    if unknown and seen:
        raise ConfigError(
            f"the filter reads {', '.join(unknown)}, which no record of {shards.task} has; there are "
            f"{', '.join(sorted(seen))}"
        )
    return shards.kept(np.array(kept, dtype=np.int64)), refused


def fields_of(record: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """The dotted names of a record's values that can be compared."""
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from fields_of(value, f"{before}{name}.")
        elif isinstance(value, str | int | float):
            yield f"{before}{name}"


def _holds(node: ast.expr, record: Mapping[str, Any]) -> bool:
    if isinstance(node, ast.BoolOp):
        join = all if isinstance(node.op, ast.And) else any
        return join(_holds(part, record) for part in node.values)
    if isinstance(node, ast.UnaryOp):
        return not _holds(node.operand, record)
    assert isinstance(node, ast.Compare)
    value = _value(record, _name(node.left) or "")
    if value is None:
        return False
    try:
        return _COMPARE[type(node.ops[0])](value, _constant(node.comparators[0]))
    except TypeError:  # a text against a number
        return False


def _value(record: Mapping[str, Any], name: str) -> Any:
    value: Any = record
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return None if isinstance(value, Mapping) else value


def _fields(node: ast.expr) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Compare) and (name := _name(part.left)) is not None:
            yield name


def _name(node: ast.expr) -> str | None:
    """A dotted name; None for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := _name(node.value)) is not None:
        return f"{before}.{node.attr}"
    return None


def _constant(node: ast.expr) -> Any:
    """A number, a text, or a list of them; raises `_NotAllowed` at anything else."""
    if isinstance(node, ast.List | ast.Tuple):
        return [_constant(item) for item in node.elts]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        value = node.operand.value
        if isinstance(value, int | float):
            return -value
    if isinstance(node, ast.Constant) and isinstance(node.value, str | int | float):
        return node.value
    raise _NotAllowed(f"{ast.unparse(node)!r} where a constant belongs")
