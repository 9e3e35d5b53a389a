"""A saved view of a wandb project in which the metrics of this project's runs read from top to bottom."""

from typing import TYPE_CHECKING, Any

from ipai.errors import ConfigError
from ipai.extras import to_install
from ipai.tasks import TASKS

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Section, Workspace

AXIS = "samples_seen"
_NAME = "ipai"
_TASKS = tuple(TASKS)
SECTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "Does it learn": {
        "validation loss, fixed noise": ("validation/loss",),
        "validation loss by task": tuple(f"validation/loss/{task}" for task in _TASKS),
        "training loss": ("loss/train",),
        "training loss by task": tuple(f"loss/task/{task}" for task in _TASKS),
        "training loss by timestep": tuple(f"loss/timestep/{start:04d}" for start in range(0, 1000, 100)),
    },
    "What it draws": {
        "CLIP-I to the condition": tuple(f"validation/clip_i/{task}" for task in _TASKS),
        "CLIP-P to the prompt": tuple(f"validation/clip_p/{task}" for task in _TASKS),
    },
    "Evaluation": {
        name: tuple(f"evaluation/{task}/{score}" for task in _TASKS)
        for name, score in {"CLIP-I": "clip_i", "CLIP-T": "clip_t", "CLIP-P": "clip_p", "CLIP-S": "clip_s"}.items()
    },
    "Is it healthy": {
        "gradient norm": ("optimizer/gradient_norm",),
        "learning rate": ("optimizer/learning_rate",),
        "skipped samples": ("data/skipped",),
        "instructions cut": ("data/instructions_cut",),
    },
    "Is it fast": {
        "samples a second": ("speed/samples_per_s",),
        "share of time that waits for data": ("speed/data_wait_share",),
        "MFU": ("speed/mfu",),
        "peak memory, GiB": ("speed/peak_memory_gib",),
    },
}
"""Section -> panel -> the metrics in it."""


def workspace(entity: str, project: str) -> "Workspace":
    """The view, not saved yet; its `save` needs a key and the network.

    Raises:
        ConfigError: wandb-workspaces is not installed.
    """
    try:
        from wandb_workspaces.workspaces import Workspace, WorkspaceSettings
    except ImportError as error:
        raise ConfigError(f"wandb-workspaces is missing; {to_install('workspace')}") from error
    return Workspace(
        entity=entity,
        project=project,
        name=_NAME,
        sections=[_section(name, panels) for name, panels in SECTIONS.items()],
        settings=WorkspaceSettings(x_axis=AXIS),
    )


def _section(name: str, panels: dict[str, tuple[str, ...]]) -> "Section":
    from wandb_workspaces.reports.v2.interface import LinePlot  # its own __init__ hides it from mypy
    from wandb_workspaces.workspaces import Section

    plots: list[Any] = [LinePlot(title=title, x=AXIS, y=list(metrics)) for title, metrics in panels.items()]
    return Section(name=name, panels=plots, is_open=True)
