from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.options import BENCHMARKS, Options
from benchmarks.run import repetitions
from ipai.errors import ConfigError

OPTIONS = Options(quick=True, work=Path("unused"), rounds=2, repeats=3, batch_size=2)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_has_contestants_and_refuses_others(name: str) -> None:
    assert repetitions(name, OPTIONS) >= (2 if name == "planning" else 2 * (OPTIONS.repeats + 1))
    with pytest.raises(ConfigError, match=f"--only names theirs; {name} has '.*', '.*'"):
        repetitions(name, replace(OPTIONS, only=("theirs",)))


def test_a_short_look_at_starts_takes_one_round() -> None:
    assert repetitions("resume", OPTIONS) == 3 * 1 * 4
    assert repetitions("resume", replace(OPTIONS, quick=False)) == 3 * 2 * 4
