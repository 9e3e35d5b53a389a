"""What `scripts/app.py` is told."""

from dataclasses import dataclass, field

from ipai.backbones.config import BaseConfig
from ipai.pipeline.settings import SCHEDULERS
from ipai.schema import STEPS, above, between, one_of, out_of_bounds, refuse


@dataclass
class AppConfig:
    """The page; conf/app.yaml explains each."""

    checkpoint: str
    weights: str = field(metadata=one_of("ema", "raw"))
    steps: int = field(metadata=STEPS)
    scheduler: str = field(metadata=one_of(*SCHEDULERS))
    five: list[str]
    examples: int = field(metadata=above(0))
    device: str
    host: str
    port: int = field(metadata=between(1, 65535))
    upload_mb: int = field(metadata=above(0))
    waiting: int = field(metadata=above(0))
    base: BaseConfig | None = field(default=None)


def check(config: AppConfig) -> None:
    """Refuse what cannot work.

    Raises:
        ConfigError: Each problem, with its key and the mend.
    """
    refuse([*out_of_bounds(config), *([] if config.five else ["five must hold at least one instruction"])])
