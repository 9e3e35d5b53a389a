"""What the loop does when something outside of it fails."""

from typing import Any

import pytest

from ipai.errors import DataError, StoreError
from ipai.training.loop import Trainer


class Failing(Trainer):
    """A trainer whose steps end in an error, and that remembers whether it saved."""

    def __init__(self, error: Exception) -> None:
        self.error, self.saved = error, 0

    def _run(self) -> int:
        raise self.error

    def _save_before_leaving(self) -> None:
        self.saved += 1


@pytest.mark.parametrize(
    ("error", "told", "saved"),
    [
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), DataError, 1),
        (RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly"), DataError, 1),
        (StoreError("lost"), StoreError, 1),
        (RuntimeError("a bug"), RuntimeError, 0),
    ],
)
def test_what_was_learned_is_saved(error: Exception, told: type[Exception], saved: int) -> None:
    trainer: Any = Failing(error)
    with pytest.raises(told):
        trainer.run()
    assert trainer.saved == saved
