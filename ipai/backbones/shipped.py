"""Where the trained toy stack and its adapter lie that come with the project."""

from pathlib import Path

from ipai.backbones.config import BUILTIN_TOY, BUILTIN_TOY_PRX
from ipai.errors import WeightsError

SHIPPED = Path(__file__).parent / "toy_weights"
ADAPTERS = {BUILTIN_TOY: "toy_adapter", BUILTIN_TOY_PRX: "toy_prx_adapter"}


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


def shipped_adapter(name: str) -> Path | None:
    """The exported folder of the joint adapter that was trained on a base of the shipped stack; None for other names.

    Raises:
        WeightsError: It is missing, as in an installation that left out the package's data.
    """
    if name not in ADAPTERS:
        return None
    folder = Path(__file__).parent / ADAPTERS[name]
    if not (folder / "config.yaml").is_file():
        raise WeightsError(f"{name} is missing from {folder}; install the project with its data files")
    return folder
