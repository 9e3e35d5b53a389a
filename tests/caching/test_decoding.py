"""Workers that decode for a cache."""

import signal
from collections.abc import Iterator
from typing import Any

import torch

from ipai.caching.decoding import picture_stream
from ipai.launch.signals import STOP_SIGNALS


class Masks(torch.utils.data.Dataset[Any]):
    """In place of pictures: the signals that the process which was asked does not hear."""

    def __getitem__(self, _place: object) -> set[int]:
        return signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_they_hear_stop_signals() -> None:
    stream: Iterator[list[Any]] = picture_stream(Masks(), [[(0, 0)]], workers=1)  # type: ignore[arg-type]
    [[deaf]] = list(stream)
    assert not deaf & set(STOP_SIGNALS)
