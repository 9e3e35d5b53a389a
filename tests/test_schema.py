"""What a dataclass says of its fields is checked; and no default stands in two places with two values."""

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import Any, get_type_hints

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from ipai.app.config import AppConfig
from ipai.caching.config import CachingConfig
from ipai.config import TrainingRun
from ipai.errors import ConfigError
from ipai.evaluation.config import EvaluationConfig
from ipai.evaluation.figures.config import FigureConfig
from ipai.pipeline.export_settings import ExportConfig
from ipai.pipeline.settings import DrawingConfig
from ipai.schema import SEED, above, at_least, between, one_of, typed
from ipai.toyworld.sources.config import SourcesConfig
from tests.helpers.composing import CONF


@dataclass
class Part:
    """Within `Settings`."""

    share: float = field(default=0.5, metadata=between(0, 1))


@dataclass
class Settings:
    """One field of each kind."""

    steps: int = field(default=1, metadata=above(0))
    decay: float = field(default=0.0, metadata=at_least(0))
    words: int = field(default=5, metadata=at_least(5))
    seeds: list[int] = field(default_factory=lambda: [0], metadata=SEED)
    kind: str = field(default="ema", metadata=one_of("ema", "raw"))
    tasks: list[str] | None = field(default=None, metadata=one_of("copy", "style"))
    weights: dict[str, float] = field(default_factory=dict, metadata=one_of("copy", "style"))
    scale: float = 1.0
    part: Part = field(default_factory=Part)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"steps": 0}, "steps=0 must be above 0"),
        ({"decay": -1}, "decay=-1.0 must not be negative"),
        ({"words": 4}, "words=4 must be at least 5"),
        ({"seeds": [1, -1]}, r"seeds=\[1, -1\] must lie between 0 and 9223372036854775807"),
        ({"seeds": [2**64]}, "must lie between 0 and"),
        ({"kind": "rwa"}, "kind=rwa is none of ema, raw; did you mean raw"),
        ({"kind": "q"}, "kind=q is none of ema, raw$"),
        ({"tasks": ["copy", "stile"]}, "tasks=stile is none of copy, style; did you mean style"),
        ({"weights": {"stile": 1.0}}, "weights=stile is none of"),
        ({"weights": {"style": "nan"}}, "weights=.*nan.* must be a finite number"),
        ({"scale": "inf"}, "scale=inf must be a finite number"),
        (
            {"tasks": "[a=1, b=2]"},
            r"""tasks=\[a=1, b=2\] is one text as Hydra reads it; quote each item of the list: 'tasks=\["\.\.\.",""",
        ),
        ({"part": {"share": 1.5}}, r"part\.share=1\.5 must lie between 0 and 1"),
        ({"part": {"shaer": 1}}, r"no key part\.shaer; did you mean part\.share"),
        ({"steps": "many"}, "steps: Value 'many'"),
    ],
)
def test_what_a_field_forbids_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        typed(OmegaConf.create(given), Settings)


def test_all_problems_come_in_one_message() -> None:
    with pytest.raises(ConfigError) as refusal:
        typed(OmegaConf.create({"steps": 0, "scale": "nan", "part": {"share": 2}}), Settings)
    assert str(refusal.value).count("\n  - ") == 3


def test_what_is_allowed_passes() -> None:
    given = {"seeds": [0, 2**63 - 1], "weights": {"copy": 2}, "tasks": None, "part": {"share": 1}}
    assert typed(OmegaConf.create(given), Settings).part.share == 1


# What another choice in the same group, or the run itself, decides.
OWN = {
    *("base", "launch.name", "train.ema_half_life", "validation.clip_model", "validation.clip_pretrained"),
    *("instructions.fixed", "data.weights", "scale_by_task", "guidance_by_task"),
}


def differing(schema: Any, node: DictConfig, prefix: str = "") -> Iterator[str]:
    """The keys whose default in the dataclass is another one than in the composed file."""
    hints = get_type_hints(schema)
    for item in fields(schema):
        key = f"{prefix}{item.name}"
        if item.name not in node or OmegaConf.is_missing(node, item.name) or key in OWN:
            continue
        value = node[item.name]
        if is_dataclass(hints[item.name]) and isinstance(value, DictConfig):
            yield from differing(hints[item.name], value, f"{key}.")
            continue
        default = item.default_factory() if item.default_factory is not MISSING else item.default
        plain = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
        if default is not MISSING and plain != (list(default) if isinstance(default, tuple) else default):
            yield f"{key}: {plain} in conf, {default} in {schema.__name__}"


@pytest.mark.parametrize(
    ("schema", "name", "overrides"),
    [
        (TrainingRun, "train", ["experiment=joint"]),
        (TrainingRun, "train", ["experiment=joint", "launch=slurm"]),
        (EvaluationConfig, "evaluate", []),
        (DrawingConfig, "generate", []),
        (ExportConfig, "export", []),
        (AppConfig, "app", []),
        (FigureConfig, "figures", []),
        (CachingConfig, "cache_latents", []),
        (SourcesConfig, "toy_sources", []),
    ],
)
def test_the_defaults_of_files_and_dataclasses_agree(schema: type, name: str, overrides: list[str]) -> None:
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        composed = compose(name, overrides=overrides)
    assert list(differing(schema, composed)) == []
