"""SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2 mean: save, then leave with the exit code that schedulers expect."""

import signal
import time
from types import FrameType, TracebackType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)
_ECHO_S = 1.0


class StopRequest:
    """Remembers the first stop signal, for the loop to look at between two steps; a second ends the process at once.

    What arrives within a second of the first is its echo: Slurm and terminals signal the launcher and its processes,
    and the launcher passes it on.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._asked_at = 0.0
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "StopRequest":
        for number in STOP_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup: the terminal may go
                self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if self.signal_number is None:
            self.signal_number, self._asked_at = number, time.monotonic()
        elif time.monotonic() - self._asked_at > _ECHO_S:
            raise SystemExit(exit_code(number))


def exit_code(signal_number: int) -> int:
    """128 + signal, as shells, Slurm and supervisors read it: ended by this signal, not by a fault of the program."""
    return 128 + signal_number


# What Slurm sends before the time limit (submitit asks for SIGUSR2), and what others are told to send.
TIME_LIMIT_CODES = (exit_code(signal.SIGUSR1), exit_code(signal.SIGUSR2))
