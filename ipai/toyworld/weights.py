"""Where the trained toy stack lies that comes with the project, and how to read its oracles."""

import json
from pathlib import Path
from typing import Any

from ipai.errors import WeightsError
from ipai.toyworld.oracles import KINDS, Oracle, load_oracle

SHIPPED = Path(__file__).parent / "weights"


def shipped_stack() -> Path:
    """The folder of the shipped stack, in the hub's layout.

    Raises:
        WeightsError: It is missing, as in an installation that left out the package's data.
    """
    if not (SHIPPED / "model_index.json").is_file():
        raise WeightsError(
            f"the toy stack is missing from {SHIPPED}; install the project with its data files, "
            "or train it: python scripts/train_toy_stack.py"
        )
    return SHIPPED


def load_oracles(folder: Path | None = None) -> dict[str, Oracle]:
    """The oracles of a stack, by kind of picture.

    Raises:
        WeightsError: A file is missing or of something else.
    """
    folder = folder or shipped_stack()
    return {kind: load_oracle(folder / "oracles" / f"{kind}.safetensors") for kind in KINDS}


def read_scores(folder: Path | None = None) -> dict[str, Any]:
    """What was measured when the stack was made."""
    scores: dict[str, Any] = json.loads(((folder or shipped_stack()) / "scores.json").read_text(encoding="utf-8"))
    return scores
