"""Keeping other libraries' progress bars out of ours."""

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from transformers.utils import logging as transformers_logging


@contextmanager
def quiet_bars() -> Iterator[None]:
    """No progress bars of transformers and the hub within; afterwards both are as they were."""
    loading, hub = transformers_logging.is_progress_bar_enabled(), not are_progress_bars_disabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if loading:
            transformers_logging.enable_progress_bar()  # which also enables the hub's
        if hub:
            enable_progress_bars()
        else:
            disable_progress_bars()
