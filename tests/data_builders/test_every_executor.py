"""Every builder in one process, in a pool and on Ray: the same bytes from each (the object builder: test_executors)."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.building import build_all, configure, digests
from tests.helpers.catalog_source import write_catalog_source
from tests.helpers.celeba_source import write_celeba_source
from tests.helpers.journey_source import write_journey_source
from tests.helpers.style_source import write_style_source
from tests.helpers.teacher_miniatures import edge_overrides, style_overrides

pytestmark = pytest.mark.long
WRITERS: dict[str, Callable[[Path], Path]] = {
    "copy": write_journey_source,
    "face": write_celeba_source,
    "structure": write_catalog_source,
    "style": write_style_source,
}
ON_RAY = ("executor=ray", "executor.cpus=0.25")
EXECUTORS = {
    **{f"pool of {workers}": (f"executor.workers={workers}",) for workers in (2, 4)},
    **{f"ray of {workers}": (*ON_RAY, f"executor.workers={workers}") for workers in (1, 2, 4)},
}


def settings(task: str, source: Path, teachers: Path) -> tuple[str, ...]:
    """What the builder of `task` needs for its small source, in at least three shards."""
    if task == "copy":
        return ("task=copy", "source.split=train", "source.archives_per_shard=2")
    if task == "face":
        return ("task=face", "source.split=all", "shard_size=15")
    if task == "structure":
        return ("task=structure", "source.min_side=200", "shard_size=2", *edge_overrides(teachers))
    prompts = (f"source.prompts={source}/prompts.txt", "source.pairs_per_image=1")
    return ("task=style", "shard_size=2", *prompts, *style_overrides(teachers))


@pytest.mark.parametrize("task", WRITERS)
def test_the_bytes_are_those_of_one_process(task: str, tmp_path: Path, teachers: Path, ray: None) -> None:
    source = WRITERS[task](tmp_path / "source")
    words = settings(task, source, teachers)
    build_all(configure(source, tmp_path / "alone", *words))
    expected = digests(tmp_path / "alone" / task)
    assert len([name for name in expected if name.endswith(".tar")]) >= 3
    for name, executor in EXECUTORS.items():
        build_all(configure(source, tmp_path / name, *words, *executor))
        assert digests(tmp_path / name / task) == expected, name
