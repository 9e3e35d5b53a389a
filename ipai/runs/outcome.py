"""How a run's last start ended, in `outcome.json` of its folder, so that nobody has to search logs for it."""

import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from ipai.errors import IpaiError
from ipai.files import write_json
from ipai.records import RecordError, read_record

_FILE = "outcome.json"


@dataclass(frozen=True)
class Outcome:
    """An end: `state` is finished, stopped or failed; `reason` begins with a line that says why.

    Attributes:
        time: Seconds since the epoch.
    """

    state: str
    reason: str
    time: float


def forget(folder: Path) -> None:
    """Take out the last start's end, because a new start begins."""
    (folder / _FILE).unlink(missing_ok=True)


def record(folder: Path, state: str, reason: str) -> None:
    """Write an end, unless there is one: of several processes the first to fail knows why, the others only follow."""
    if not (folder / _FILE).exists():
        write_json(folder / _FILE, asdict(Outcome(state, reason, time.time())))


def read(folder: Path) -> Outcome | None:
    """The end of the last start; None if it goes on, or ended without a word."""
    try:
        return read_record(folder / _FILE, Outcome)
    except (OSError, RecordError):
        return None


@contextmanager
def recorded(folder: Path) -> Iterator[None]:
    """Record what goes wrong in here, and let it go on."""
    try:
        yield
    except IpaiError as error:
        record(folder, "failed", str(error))
        raise
    except Exception as error:
        record(folder, "failed", f"{type(error).__name__}: {error}\n\n{traceback.format_exc()}")
        raise
