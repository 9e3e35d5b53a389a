"""Which function measures what."""

from collections.abc import Callable
from dataclasses import replace

from benchmarks import building, generating, loading, neighbour, planning, resuming, training
from benchmarks.options import Options
from benchmarks.report import Report
from ipai.errors import ConfigError

_MEASURES: dict[str, tuple[Callable[[Options, Callable[[], object]], Report], tuple[str, ...]]] = {
    "builders": (building.measure, tuple(building.CONTESTANTS)),
    "generate": (generating.measure, generating.CONTESTANTS),
    "loader": (loading.measure, tuple(loading.CONTESTANTS)),
    "neighbour": (neighbour.measure, tuple(neighbour.CONTESTANTS)),
    "planning": (planning.measure, planning.CONTESTANTS),
    "resume": (resuming.measure, tuple(resuming.CONTESTANTS)),
    "train": (training.measure, (training.REFERENCE, *training.OURS)),
}


def measure(name: str, options: Options, done: Callable[[], object]) -> Report:
    """Run the benchmark `name`; `done` is called after each of its `repetitions`.

    Raises:
        IpaiError: It cannot be run.
    """
    return _MEASURES[name][0](_shortened(name, options), done)


def repetitions(name: str, options: Options) -> int:
    """How many pieces of work the benchmark consists of, for a bar.

    Raises:
        ConfigError: `options.only` names a contestant that does not exist.
    """
    names = list(_MEASURES[name][1])
    if unknown := sorted(set(options.only) - set(names)):
        raise ConfigError(f"--only names {', '.join(unknown)}; {name} has {', '.join(map(repr, names))}")
    options = _shortened(name, options)
    return len(options.chosen(names)) * options.rounds * (options.repeats + 1)


def _shortened(name: str, options: Options) -> Options:
    """A start of training takes ten seconds and more, and --quick promises three minutes; a plan is made once."""
    if name == "planning":
        return replace(options, rounds=1, repeats=0)
    return replace(options, rounds=1) if name in ("resume", "neighbour") and options.quick else options
