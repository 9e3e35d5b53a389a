"""SIGTERM and SIGUSR1 mean: save, then leave with the exit code that schedulers expect."""

import signal
from types import FrameType, TracebackType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class StopRequest:
    """Remembers the first stop signal, for the loop to look at between two steps; a second ends the process at once."""

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "StopRequest":
        for number in STOP_SIGNALS:
            self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if self.signal_number is not None:
            raise SystemExit(exit_code(number))
        self.signal_number = number


def exit_code(signal_number: int) -> int:
    """128 + signal, as shells, Slurm and supervisors read it: ended by this signal, not by a fault of the program."""
    return 128 + signal_number
