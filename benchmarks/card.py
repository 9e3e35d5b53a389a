"""`card`: what one GPU does, within minutes and in one process, as a page of its own."""

import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.options import Options
from benchmarks.report import Report
from ipai.errors import ConfigError, IpaiError
from ipai.files import write_text

PARTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("train", {"batch_size": 8}),
    ("generate", {"pictures": 1}),
    ("train", {"batch_size": 32}),
    ("generate", {"pictures": 4}),
    ("generate", {"pictures": 8}),
    ("loader", {"batch_size": 8}),
    ("train", {"batch_size": 1}),
)
"""Benchmarks and what they change of the options, the most telling first: time may end."""

Measure = Callable[[str, Options], Report]


def card_name() -> str:
    """Of the GPU, as a file name.

    Raises:
        ConfigError: There is none that torch can use.
    """
    if not torch.cuda.is_available():
        raise ConfigError("there is no GPU that torch can use, and `card` measures one; the others run on CPUs too")
    return re.sub(r"[^a-z0-9]+", "-", torch.cuda.get_device_name().lower()).strip("-")


def write_card(name: str, options: Options, minutes: float, path: Path, measure: Measure) -> None:
    """Measure part after part until the time is over, and write the page anew after each.

    Args:
        name: Of the card.
        options: Of every part, one round each.
        minutes: No part is begun after so many.
        path: The page.
        measure: Runs a benchmark.
    """
    ends, sections = (
        time.monotonic() + 60 * minutes,
        [f"# {name}\n\nEach table is what `scripts/benchmark.py` printed."],
    )
    for part, changes in PARTS:
        what = ", ".join(f"--{key.replace('_', '-')} {value}" for key, value in changes.items())
        if time.monotonic() > ends:
            told = f"Not measured: the {minutes:g} minutes were over."
        else:
            told = _told(measure, part, replace(options, rounds=1, **changes))
        sections.append(f"## {part} {what}\n\n{told}")
        write_text(path, "\n\n".join(sections) + "\n")


def _told(measure: Measure, part: str, options: Options) -> str:
    try:
        return measure(part, options).text()
    except (torch.cuda.OutOfMemoryError, IpaiError) as error:
        return f"Not measured: {error}"
    finally:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
