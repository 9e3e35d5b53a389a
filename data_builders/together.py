"""All builds of a recipe, one after the other: a build that fails does not keep the others from being made."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from hydra import compose
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from data_builders.engine.config import ALL
from ipai.errors import ConfigError, IpaiError

# What chooses among the builds, and so is not passed on to each.
_OWN = ("task=", "recipe=", "output=", "all.")


@dataclass(frozen=True)
class Outcome:
    """What became of the build of `task`: `error` says why it was not made, or is None."""

    task: str
    error: str | None


def build_all(raw: DictConfig, overrides: Sequence[str], build: Callable[[DictConfig], None]) -> Iterator[Outcome]:
    """Compose each build of `raw.all`, run it, and say how it ended.

    Args:
        raw: What was composed with `task=all`.
        overrides: Those of the command line; what is not about the choice itself goes to every build.
        build: Makes one data set from its composed configuration.

    Raises:
        ConfigError: A setting fits none of the builds.
    """
    shared = [text for text in overrides if not text.startswith(_OWN)]
    # First, so that a misspelt key is refused before an hour of building.
    composed = {task: _compose([*own, *shared, f"output={raw.output}"]) for task, own in _builds(raw).items()}
    for task, config in composed.items():
        try:
            build(config)
            yield Outcome(task, None)
        except IpaiError as error:
            yield Outcome(task, str(error))


def _builds(raw: DictConfig) -> dict[str, list[str]]:
    builds = OmegaConf.to_container(raw[ALL].builds, resolve=True)
    assert isinstance(builds, dict)
    return {str(task): [str(text) for text in own] for task, own in builds.items()}


def _compose(overrides: list[str]) -> DictConfig:
    try:
        return compose("build_datasets", overrides=overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(
            f"{overrides[0]} cannot be composed: {error}. Settings of one task go with that task: "
            f"python scripts/build_datasets.py {overrides[0]} ..."
        ) from error
