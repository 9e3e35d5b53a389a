"""What is refused before anything is handed to Slurm."""

from pathlib import Path

import pytest

from ipai.cluster.job import _newest_step
from ipai.cluster.naming import Point
from ipai.cluster.slurm import submit
from ipai.errors import ConfigError
from tests.helpers.composing import compose


def test_a_colon_in_the_run_folder_is_refused(tmp_path: Path) -> None:
    config = compose("data.root=shards", "launch=slurm", f"run={tmp_path}/a:b")
    with pytest.raises(ConfigError, match="has a colon in its path, which ends a path in PYTHONPATH"):
        submit(Point(config, ()))


def test_copies_of_checkpoints_do_not_hinder_the_count_of_crashes(tmp_path: Path) -> None:
    for name in ("step-00000010", "step-best", "step-00000012-backup", "latest"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    assert _newest_step(tmp_path) == 10
