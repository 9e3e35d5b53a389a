"""The measurement of a dry run: what it makes, what it says, what it refuses."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from data_builders.engine import probe
from data_builders.engine.probe import Timing, time_samples, timing_text
from data_builders.engine.records import Drop, Record, Sample
from data_builders.engine.run import plan_build
from data_builders.registry import create_builder
from ipai.errors import ConfigError, DataError
from tests.helpers.building import command, configure, run_command


class Counting:
    """A builder around another that remembers what it was asked for, batch by batch."""

    def __init__(self, inner: object) -> None:
        self._inner = inner
        self.asked: list[list[str]] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def make(self, record: Record) -> Sample:
        raise NotImplementedError

    def make_many(self, records: Sequence[Record]) -> Iterator[Drop]:
        self.asked.append([record.key for record in records])
        return (Drop("sour") for _ in records)


def test_hours_are_those_of_the_whole_plan(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, coco: Path) -> None:
    config = configure(coco, tmp_path, "dry_run=true", "probe=4")
    builder = create_builder(config)
    clock = iter([0.0, 3.0, 11.0])
    monkeypatch.setattr(probe.time, "perf_counter", lambda: next(clock))
    timing = time_samples(builder, config, plan_build(builder, config))
    assert (timing.samples, timing.seconds, timing.first_seconds, timing.planned) == (4, 8.0, 3.0, 10)
    assert timing.hours == pytest.approx(10 * 2 / 3600)
    assert not list(tmp_path.iterdir())


def test_batches_are_whole_and_no_sample_is_made_twice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, coco: Path
) -> None:
    config = configure(coco, tmp_path, "dry_run=true", "probe=5")
    monkeypatch.setattr(type(config), "at_once", 3)
    builder = create_builder(config)
    plan = plan_build(builder, config)
    counting = Counting(builder)
    timing = time_samples(counting, config, plan)
    warm, timed = counting.asked
    assert (len(warm), len(timed), timing.samples) == (3, 6, 6)
    assert len({*warm, *timed}) == 9
    assert timing.drops == {"sour": 9}
    assert "could not be built: sour 9" in timing_text(timing)


def test_a_plan_that_is_too_short_is_refused(tmp_path: Path, coco: Path) -> None:
    config = configure(coco, tmp_path, "dry_run=true", "probe=4", "limit=1")
    builder = create_builder(config)
    with pytest.raises(DataError, match="larger limit="):
        time_samples(builder, config, plan_build(builder, config))


def test_a_probe_without_a_dry_run_is_refused(tmp_path: Path, coco: Path) -> None:
    with pytest.raises(ConfigError, match="dry_run=true"):
        configure(coco, tmp_path, "probe=4")


def test_a_gpu_is_counted_in_gpu_hours() -> None:
    timing = Timing(10, 5.0, 2.0, drops=Counter(), device="a card", on_gpu=True, planned=72_000)
    assert timing_text(timing).splitlines()[0] == "time for all 72,000: 10.00 GPU hours"


def test_the_command_says_the_hours_and_writes_nothing(tmp_path: Path, coco: Path) -> None:
    done = run_command(command(coco, tmp_path / "out", "dry_run=true", "probe=3"), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "time for all 10: " in done.stdout
    assert " worker hours\nmeasured: " in done.stdout
    assert "over 3 samples on one process of this machine's CPU" in done.stdout
    assert not list(tmp_path.iterdir())
