"""How far a training is, for people at a terminal and for logs."""

import logging
import sys
import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, Self

from tqdm import tqdm

log = logging.getLogger(__name__)

_EVERY = 30.0  # seconds between two lines


class ProgressShown(Protocol):
    """What the loop tells of its steps."""

    def update(self) -> object:
        """One step more is done."""

    def set_postfix(self, *, loss: str, refresh: bool) -> object:
        """The latest loss."""


class ProgressLines:
    """A line of the log every half minute: what a bar would leave behind in a file is thousands of them.

    Args:
        total: Steps of the whole run.
        initial: Of them done before.
    """

    def __init__(self, total: int, initial: int) -> None:
        self._total, self._initial, self._step = total, initial, initial
        self._started = self._said = time.monotonic()
        self._loss = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._step > self._initial:
            self._say()

    def update(self) -> None:
        """See `ProgressShown`."""
        self._step += 1
        if time.monotonic() - self._said >= _EVERY:
            self._say()

    def set_postfix(self, *, loss: str, refresh: bool) -> None:  # noqa: ARG002 (tqdm's)
        """See `ProgressShown`."""
        self._loss = f", loss {loss}"

    def _say(self) -> None:
        self._said = time.monotonic()
        rate = (self._step - self._initial) / max(self._said - self._started, 1e-9)
        left = tqdm.format_interval((self._total - self._step) / rate)
        log.info("step %d of %d%s, %.3g steps/s, %s left", self._step, self._total, self._loss, rate, left)


def progress(total: int, initial: int, shown: bool) -> AbstractContextManager[Any]:
    """A bar on a terminal, lines in a log, nothing in all processes but the first.

    Args:
        total: Steps of the whole run.
        initial: Of them done before.
        shown: Whether this process shows it.
    """
    if shown and not sys.stderr.isatty():
        return ProgressLines(total, initial)
    return tqdm(total=total, initial=initial, unit="step", disable=not shown)
