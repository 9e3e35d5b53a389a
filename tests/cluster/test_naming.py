from pathlib import Path

import pytest

from ipai.cluster.naming import Point, distinct
from ipai.errors import ConfigError
from ipai.runs.run_folder import folder_of
from tests.helpers.composing import compose


def point(*overrides: str) -> Point:
    words = (*overrides, "recipe=smoke", "data.root=shards")
    return Point(compose(*words), words)


def folders(*points: Point) -> list[str]:
    return [folder_of(each.config).name for each in distinct(points)]


def test_experiments_times_seeds_have_a_folder_each() -> None:
    points = [point(f"experiment={name}", f"train.seed={seed}") for name in ("joint", "single_copy") for seed in (0, 1)]
    assert folders(*points) == [
        "joint-smoke-seed-0", "joint-smoke-seed-1", "single_copy-smoke-seed-0", "single_copy-smoke-seed-1",
    ]  # fmt: skip


def test_names_that_differ_stay() -> None:
    assert folders(point("experiment=joint"), point("experiment=single_copy")) == ["joint-smoke", "single_copy-smoke"]
    assert folders(point("train.seed=3")) == ["joint-smoke"]


def test_one_name_given_to_all_is_told_apart_and_survives_the_command_line() -> None:
    named = distinct([point(r"run='it\'s'", f"train.learning_rate={rate}") for rate in ("1e-3", "1e-4")])
    assert folder_of(named[0].config).name.endswith("-learning_rate-1e-3")
    for each in named:
        assert compose(*each.overrides).run == each.config.run


def test_the_same_point_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"would share runs/joint-smoke"):
        distinct([point("experiment=joint"), point("experiment=joint")])


def test_paths_are_compared_not_words(tmp_path: Path) -> None:
    points = [point(f"run={tmp_path}/a/../x", "train.seed=0"), point(f"run={tmp_path}/x", "train.seed=1")]
    assert sorted(folders(*points)) == ["x-seed-0", "x-seed-1"]
