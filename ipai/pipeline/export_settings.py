"""What `scripts/export.py` is told, checked before anything slow is loaded."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ipai.backbones.config import DTYPES, BaseConfig
from ipai.pipeline.adapter_place import problem_of_run
from ipai.schema import one_of, out_of_bounds, refuse
from ipai.tasks import TASKS


@dataclass
class ExportConfig:
    """What is exported; conf/export.yaml explains each."""

    checkpoint: str
    output: str
    weights: str = field(metadata=one_of("ema", "raw"))
    dtype: str = field(metadata=one_of(*(name for name in DTYPES if name != "auto")))
    names: str = field(metadata=one_of("ip_adapter", "own"))
    licence: str
    name: str | None = None
    samples: str | None = None
    data_terms: dict[str, str] = field(default_factory=dict, metadata=one_of(*TASKS))
    base: BaseConfig | None = None


def check(config: ExportConfig) -> None:
    """Refuse what cannot work whatever the weights are.

    Raises:
        ConfigError: Each problem, with its key and the mend.
    """
    refuse([*out_of_bounds(config), *_problems(config)])


def _problems(config: ExportConfig) -> Iterator[str]:
    output = Path(config.output).expanduser()
    if problem := problem_of_run(config.checkpoint):
        yield f"checkpoint={problem}"
    if output.exists():
        yield f"output={output} exists; give another name or remove it"
    if config.samples is not None and not Path(config.samples).is_file():
        yield f"samples={config.samples} is no picture"
