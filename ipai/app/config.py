"""What `scripts/app.py` is told."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from ipai.backbones.config import BaseConfig
from ipai.errors import ConfigError
from ipai.pipeline.settings import SCHEDULERS


@dataclass
class AppConfig:
    """The page; conf/app.yaml explains each."""

    checkpoint: str
    weights: str
    steps: int
    scheduler: str
    five: list[str]
    examples: int
    device: str
    host: str
    port: int
    base: BaseConfig | None = field(default=None)


def check(config: AppConfig) -> None:
    """Refuse what cannot work.

    Raises:
        ConfigError: Each problem, with its key and the mend.
    """
    problems = list(_problems(config))
    if problems:
        raise ConfigError("these settings cannot work:\n" + "\n".join(f"  - {problem}" for problem in problems))


def _problems(config: AppConfig) -> Iterator[str]:
    if config.scheduler not in SCHEDULERS:
        yield f"scheduler={config.scheduler} is none of {', '.join(SCHEDULERS)}"
    if config.steps < 1 or config.examples < 1:
        yield f"steps={config.steps} and examples={config.examples} must be at least 1"
    if not 1 <= config.port <= 65535:
        yield f"port={config.port} must be between 1 and 65535"
    if not config.five:
        yield "five must hold at least one instruction"
