"""All builds of a recipe: first each is planned, so that all that is missing is said at once, then they are made.

A build that cannot be planned or fails does not keep the others from being made.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from hydra import compose
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from data_builders.engine.config import ALL
from ipai.errors import ConfigError, IpaiError

# What chooses among the builds, and so is not passed on to each.
_OWN = ("task=", "recipe=", "output=", "all.")

Planned = TypeVar("Planned")


@dataclass(frozen=True)
class Plans(Generic[Planned]):
    """The builds that can be made, and why the others cannot, by task in the recipe's order."""

    ready: dict[str, Planned]
    missing: dict[str, str]


def plan_all(raw: DictConfig, overrides: Sequence[str], plan: Callable[[DictConfig], Planned]) -> Plans[Planned]:
    """Compose and plan each build of `raw.all`; nothing is downloaded, asked or written.

    Args:
        raw: What was composed with `task=all`.
        overrides: Those of the command line; what is not about the choice itself goes to every build.
        plan: Reads the source of one data set from its composed configuration, and checks all that it needs.

    Raises:
        ConfigError: A setting fits none of the builds.
    """
    shared = [text for text in overrides if not text.startswith(_OWN)]
    # First, so that a misspelt key is refused before an hour of reading.
    composed = {task: _compose([*own, *shared, f"output={raw.output}"]) for task, own in _builds(raw).items()}
    plans: Plans[Planned] = Plans({}, {})
    for task, config in composed.items():
        try:
            plans.ready[task] = plan(config)
        except IpaiError as error:
            plans.missing[task] = str(error)
    return plans


def make_all(ready: Mapping[str, Planned], make: Callable[[Planned], None]) -> Iterator[tuple[str, str | None]]:
    """Make each build that was planned; yields its task, and why it failed or None."""
    for task, planned in ready.items():
        try:
            make(planned)
            yield task, None
        except IpaiError as error:
            yield task, str(error)


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
