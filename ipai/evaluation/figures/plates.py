"""What the figures share: pictures in rows and columns with labels, and writing PNG and SVG."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from ipai.files import atomic_path

CELL = 0.9  # inches; seven of them and a label fill a page's width
_LABEL = 1.6
_SMALL, _PRINT_DPI = 7, 300

Plate = list[tuple[str, list[Image.Image | None]]]
"""Rows: a label and pictures; None leaves a cell empty."""


def plate(rows: Plate, heads: Sequence[str]) -> Figure:
    """Pictures in a grid, a label before each row and a head above each column."""
    columns = max(len(row) for _, row in rows)
    figure = Figure(figsize=(_LABEL + CELL * columns, 0.3 + CELL * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), columns + 1, squeeze=False, width_ratios=[_LABEL, *[CELL] * columns])
    for line in axes:
        for cell in line:
            cell.set_axis_off()
    for y, (label, row) in enumerate(rows):
        axes[y, 0].text(
            1, 0.5, _wrapped(label), ha="right", va="center", fontsize=_SMALL, transform=axes[y, 0].transAxes
        )
        for x, picture in enumerate(row, start=1):
            if picture is not None:
                axes[y, x].imshow(np.asarray(picture), interpolation="antialiased")
    for x, head in enumerate(heads, start=1):
        axes[0, x].set_title(_wrapped(head, 18), fontsize=_SMALL)
    return figure


def save(figure: Figure, folder: Path, number: int) -> list[Path]:
    """Write `figure-<number>.png` (300 dpi) and `.svg`, each whole or not at all; equal figures give equal files."""
    paths = [folder / f"figure-{number}.{form}" for form in ("png", "svg")]
    with mpl.rc_context({"svg.hashsalt": "ipai"}):
        for path in paths:
            metadata = {"Date": None} if path.suffix == ".svg" else {}
            with atomic_path(path) as aside:
                figure.savefig(aside, format=path.suffix[1:], dpi=_PRINT_DPI, metadata=metadata)
    return paths


def save_png(figure: Figure, path: Path, dpi: int = 100) -> None:
    """Write one PNG, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as aside:
        figure.savefig(aside, format="png", dpi=dpi)


def _wrapped(text: str, width: int = 30) -> str:
    return "\n".join(textwrap.wrap(text, width)) or text
