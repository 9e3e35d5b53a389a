"""Names of checkpoints. Imports nothing slow."""

import re
from pathlib import Path

_NAME = re.compile(r"step-(\d{8})")


def name_of(step: int) -> str:
    """`step-00001000`."""
    return f"step-{step:08d}"


def step_folders(folder: Path) -> dict[int, Path]:
    """The checkpoints below a run's `checkpoints` by step, in order; a copy called otherwise (`step-best`) is none."""
    found = ((_NAME.fullmatch(path.name), path) for path in folder.glob("step-*"))
    return dict(sorted((int(match[1]), path) for match, path in found if match and path.is_dir()))
