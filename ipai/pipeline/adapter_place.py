"""Whether an adapter can be where somebody says, asked before the seconds that torch takes to import."""

from pathlib import Path

from ipai.backbones.shipped import ADAPTERS

CONFIG = "config.yaml"
"""The frozen configuration in a run folder and in an exported one."""

_FILES = (".safetensors", ".bin")


def problem_of_run(folder: Path | str) -> str | None:
    """What is wrong with a run folder that cannot be one."""
    if (Path(folder).expanduser() / CONFIG).is_file():
        return None
    return f"{folder} is no run folder: it has no {CONFIG}; give the folder that train.py printed"


def problem_of(source: Path | str) -> str | None:
    """What is wrong with a source that is neither here nor could be an id on the hub; None for all others.

    What would lie in a folder that is here, such as `runs/joint-papre`, is a path.
    """
    name, path = str(source), Path(source).expanduser()
    if name in ADAPTERS or path.exists():
        return None
    is_path = name.startswith((".", "/", "~")) or path.suffix in _FILES or path.parent.is_dir()
    if name.count("/") == 1 and not is_path:
        return None
    return (
        f"there is no adapter at {source}; give a run folder, an exported folder, a file, a hub id, "
        f"{' or '.join(ADAPTERS)}"
    )
