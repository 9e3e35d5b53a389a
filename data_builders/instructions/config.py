"""Settings of task=instructions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields

from omegaconf import DictConfig, OmegaConf

from data_builders.llm.config import LanguageModel, problems_of
from ipai.config import typed
from ipai.errors import ConfigError
from ipai.tasks import TASKS

NAME = "instructions"


@dataclass
class Count:
    """Instructions of each task."""

    train: int = 1100
    val: int = 240


@dataclass(kw_only=True)
class InstructionsConfig:
    """What is written, by whom, and what is accepted.

    Attributes:
        task: Always "instructions".
        output: Folder of the pools.
        writer: The language model; its paid answers count for `output`.
        tasks: The tasks that get a pool, or None for all of `ipai.tasks`.
        count: How many instructions each gets.
        per_request: How many the model is asked for at once.
        max_words: Longest instruction.
        max_overlap: Two instructions that share more of their words than this (0..1) are near-duplicates.
        stale_requests: Requests in a row without a new instruction after which a task is given up.
        seed: Decides the split, the order and what requests are varied by.
        dry_run: Print the bill and stop.
    """

    task: str
    output: str
    writer: LanguageModel
    tasks: list[str] | None = None
    count: Count = field(default_factory=Count)
    per_request: int = 60
    max_words: int = 60
    max_overlap: float = 0.8
    stale_requests: int = 12
    seed: int = 0
    dry_run: bool = False

    def problems(self) -> Iterator[str]:
        """Values that cannot work, one message each."""
        for task in self.tasks or []:
            if task not in TASKS:
                yield f"tasks={task} is none of {', '.join(TASKS)}"
        positive = {
            "count.train": self.count.train,
            "count.val": self.count.val,
            "per_request": self.per_request,
            "max_words": self.max_words,
            "stale_requests": self.stale_requests,
        }
        for key, value in positive.items():
            if value < 1:
                yield f"{key}={value} must be at least 1"
        if not 0 < self.max_overlap <= 1:
            yield f"max_overlap={self.max_overlap} must lie above 0 and at most at 1"
        if self.writer.mode == "batch":
            yield "writer.mode=batch: each request is made from earlier answers; set writer.mode=live"
        yield from problems_of(self.writer, "writer")

    @property
    def chosen(self) -> list[str]:
        """The tasks that get a pool, in the order of `ipai.tasks`."""
        return [task for task in TASKS if self.tasks is None or task in self.tasks]


def parse_instructions(raw: DictConfig, overrides: Sequence[str]) -> InstructionsConfig:
    """Turn what Hydra composed into checked settings.

    Args:
        raw: What was composed; the settings of shards that are in it too are left out.
        overrides: Those of the command line, none of which may be such a setting.

    Raises:
        ConfigError: A key is unknown, of the wrong type, or of no use here; or a value cannot work.
    """
    known = [item.name for item in fields(InstructionsConfig)]
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0].partition(".")[0].partition("@")[0]
        if key not in (*known, "llm"):
            raise ConfigError(f"task={NAME} has no setting {key}; it has {', '.join(known)}")
    config: InstructionsConfig = typed(OmegaConf.masked_copy(raw, known), InstructionsConfig)
    problems = list(config.problems())
    if problems:
        raise ConfigError("these settings cannot work:\n" + "\n".join(f"  - {problem}" for problem in problems))
    return config
