"""The five tasks of IPAdapter-Instruct in one place (paper section 3, Table 1).

A sixth task is an entry here, an instruction pool (`ipai/instructions/pools`) and a builder (`data_builders`).
"""

from dataclasses import dataclass
from typing import Literal

from ipai.errors import ConfigError

DEFAULT_SCALE = 0.8  # the paper recommends 0.6 to 0.8


@dataclass(frozen=True)
class Task:
    """What the project needs to know of a task.

    Attributes:
        name: How configs, shards and reports call it.
        keyword: The word an instruction of any *other* task must not hold (paper section 3.2).
        slot: Name of the placeholder that is replaced by the object's name, or None.
        condition_is_target: The condition image is the target image itself, so shards hold it once.
        scale: Of the adapter when pictures are drawn; the released code lowers it by 0.2 for the composition.
        scores: What Table 1 gives for the task (see `ipai.evaluation.scoring.scores`).
        guidance: `ordinary` or `four_pass`, which the released code uses for the object and the composition.
    """

    name: str
    keyword: str
    slot: str | None
    condition_is_target: bool
    scale: float = DEFAULT_SCALE
    guidance: Literal["ordinary", "four_pass"] = "ordinary"
    scores: tuple[str, str] = ("clip_i", "clip_p")


_ALL = (
    Task("copy", "everything", None, True, scores=("clip_i", "clip_t")),
    Task("style", "style", None, False, scores=("clip_s", "clip_p")),
    Task("object", "object", "object", False, guidance="four_pass"),
    Task("structure", "composition", None, False, scale=0.6, guidance="four_pass"),
    Task("face", "face", None, False),
)

TASKS: dict[str, Task] = {task.name: task for task in _ALL}


def get_task(name: str) -> Task:
    """The task called `name`.

    Raises:
        ConfigError: There is no such task; the message lists those that there are.
    """
    if name not in TASKS:
        raise ConfigError(f"there is no task {name!r}; the tasks are {', '.join(TASKS)}")
    return TASKS[name]


def task_index(name: str) -> int:
    """Position of a task in `TASKS`: the row of its learned embedding and of its metrics."""
    return list(TASKS).index(get_task(name).name)
