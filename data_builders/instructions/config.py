"""Settings of task=instructions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields

from omegaconf import DictConfig, OmegaConf

from ipai.errors import ConfigError
from ipai.llm.config import LanguageModel, problems_of
from ipai.schema import SEED, above, between, one_of, refuse, typed
from ipai.tasks import TASKS

NAME = "instructions"


@dataclass
class Count:
    """Instructions of each task."""

    train: int = field(default=1100, metadata=above(0))
    val: int = field(default=240, metadata=above(0))


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
    tasks: list[str] | None = field(default=None, metadata=one_of(*TASKS))
    count: Count = field(default_factory=Count)
    per_request: int = field(default=60, metadata=above(0))
    max_words: int = field(default=60, metadata=above(0))
    max_overlap: float = field(default=0.8, metadata=above(0) | between(0, 1))
    stale_requests: int = field(default=12, metadata=above(0))
    seed: int = field(default=0, metadata=SEED)
    dry_run: bool = False

    def problems(self) -> Iterator[str]:
        """Values that cannot work, one message each."""
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
    refuse(config.problems())
    return config
