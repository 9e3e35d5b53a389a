"""What `scripts/app.py` is told."""

import os
from dataclasses import dataclass, field

from ipai.backbones.config import BaseConfig
from ipai.backbones.samplers import DIFFUSION
from ipai.errors import ConfigError
from ipai.pipeline.adapter_place import problem_of
from ipai.schema import STEPS, above, between, one_of, out_of_bounds, refuse
from ipai.tasks import TASKS


@dataclass
class AppConfig:
    """The page; conf/app.yaml explains each."""

    checkpoint: str
    weights: str = field(metadata=one_of("ema", "raw"))
    steps: int = field(metadata=STEPS)
    scheduler: str = field(metadata=one_of(*DIFFUSION))
    five: dict[str, str]
    examples: int = field(metadata=above(0))
    pictures: int = field(metadata=above(0))
    device: str
    host: str
    port: int = field(metadata=between(1, 65535))
    share: bool
    upload_mb: int = field(metadata=above(0))
    waiting: int = field(metadata=above(0))
    keep: str | None = None
    login: str | None = None
    base: BaseConfig | None = field(default=None)


def check(config: AppConfig) -> None:
    """Refuse what cannot work.

    Raises:
        ConfigError: Each problem, with its key and the mend.
    """
    unknown = [f"five.{name} is no task; they are {', '.join(TASKS)}" for name in config.five if name not in TASKS]
    missing = [f"five.{name} is missing; give an instruction" for name in TASKS if not config.five.get(name)]
    problem = problem_of(config.checkpoint)
    nowhere = [] if problem is None else [f"checkpoint: {problem}"]
    refuse([*out_of_bounds(config), *nowhere, *unknown, *missing])
    login_of(config)


def login_of(config: AppConfig) -> tuple[str, str] | None:
    """Name and password that the page asks for; from the environment, so that no setting holds a secret.

    Raises:
        ConfigError: The variable is not set, or holds something else.
    """
    if config.login is None:
        return None
    name, _, password = os.environ.get(config.login, "").partition(":")
    if not (name and password):
        raise ConfigError(f"login={config.login} must be an environment variable that holds name:password")
    return name, password
