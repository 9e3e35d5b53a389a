"""Whether an adapter can be where somebody says, asked before the seconds that torch takes to import."""

from pathlib import Path

from ipai.backbones.shipped import ADAPTERS

CONFIG = "config.yaml"
"""The frozen configuration in a run folder and in an exported one."""

_FILES = (".safetensors", ".bin")


def problem_of(source: Path | str) -> str | None:
    """What is wrong with a source that is neither here nor could be an id on the hub; None for all others."""
    name, path = str(source), Path(source).expanduser()
    if name in ADAPTERS or path.exists():
        return None
    if name.count("/") == 1 and not name.startswith((".", "/", "~")) and path.suffix not in _FILES:
        return None
    return (
        f"there is no adapter at {source}; give a run folder, an exported folder, a file, a hub id, "
        f"{' or '.join(ADAPTERS)}"
    )
