"""What the engine does with a builder that builds a whole shard at once."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from data_builders.engine.plan import ShardPlan
from data_builders.engine.records import Drop, Record, Sample, Selection, Source
from data_builders.engine.shard import Stamp, build_shard
from tests.helpers.building import samples_in
from tests.helpers.coco_source import jpeg, textured

STAMP = Stamp("style", "batches", 1, "0" * 64)
PICTURE = jpeg(textured(32, 32, 1))


class Batches:
    """Drops every record whose key holds `bad`; `missing` results are left out at the end."""

    name = "batches"
    version = 1

    def __init__(self, missing: int = 0) -> None:
        self.missing = missing
        self.calls: list[list[str]] = []

    def select(self) -> Selection:
        raise AssertionError("a shard is built from its plan alone")

    def make(self, record: Record) -> Sample:
        raise AssertionError("make_many is there")

    def make_many(self, records: Sequence[Record]) -> Iterator[Sample | Drop]:
        self.calls.append([record.key for record in records])
        for record in records[: len(records) - self.missing]:
            source = Source("none", record.key, None, None)
            sample = Sample(PICTURE, PICTURE, record.key, "", None, source, None, {})
            yield Drop("unfit") if "bad" in record.key else sample

    def card(self) -> str:
        return ""


def shard_of(*keys: str) -> ShardPlan:
    return ShardPlan("train", "train-000000", tuple(Record(key, key, {}) for key in keys), "0" * 64)


def test_a_shard_is_one_call_and_its_results_keep_their_order(tmp_path: Path) -> None:
    builder = Batches()
    sidecar = build_shard(builder, shard_of("a", "bad1", "b", "bad2", "c"), STAMP, tmp_path, 1.0)
    assert builder.calls == [["a", "bad1", "b", "bad2", "c"]]
    assert [sample["key"] for sample in sidecar["samples"]] == ["a", "b", "c"]
    assert sidecar["dropped"] == [{"key": key, "reason": "unfit"} for key in ("bad1", "bad2")]
    assert {key: sample["json"]["prompt"] for key, sample in samples_in(tmp_path).items()} == {k: k for k in "abc"}
    assert json.loads((tmp_path / "train-000000.json").read_text()) == sidecar


def test_a_builder_that_loses_a_result_leaves_no_shard(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shorter"):
        build_shard(Batches(missing=1), shard_of("a", "b"), STAMP, tmp_path, 1.0)
    assert not list(tmp_path.iterdir())
