"""Where the trained toy stack and its adapter lie that come with the project."""

from pathlib import Path

from ipai.errors import WeightsError

SHIPPED = Path(__file__).parent / "toy_weights"
ADAPTER = Path(__file__).parent / "toy_adapter"


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


def shipped_adapter() -> Path:
    """The exported folder of the joint adapter that was trained on the shipped stack.

    Raises:
        WeightsError: It is missing, as in an installation that left out the package's data.
    """
    if not (ADAPTER / "config.yaml").is_file():
        raise WeightsError(f"the toy adapter is missing from {ADAPTER}; install the project with its data files")
    return ADAPTER
