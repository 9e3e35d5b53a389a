import math
import pickle
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_builders.engine.config import BuildConfig, CaptionerConfig, ValidationSplit
from data_builders.engine.keyed_hash import digest_of
from data_builders.engine.plan import Plan, drawn, make_plan, validation_size
from data_builders.engine.records import Locality, Record, Selection
from ipai.errors import DataError

CONFIG = BuildConfig(task="object", output="unused", captioner=CaptionerConfig("dataset"), shard_size=7)


def plan_of(records: list[Record], config: BuildConfig = CONFIG) -> Plan:
    return make_plan(Selection(records, len(records), {}), config)


def records_of(names: list[str], groups: int | None = None) -> list[Record]:
    return [Record(name, str(i if groups is None else i % groups), {"n": i}) for i, name in enumerate(names)]


def keys(plan: Plan, split: str) -> list[str]:
    return [record.key for shard in plan.shards if shard.split == split for record in shard.records]


names = st.lists(st.from_regex(r"[a-z0-9_-]{1,12}", fullmatch=True), min_size=1, max_size=60, unique=True)


@given(names)
def test_every_record_is_in_one_shard_once(some: list[str]) -> None:
    plan = plan_of(records_of(some))
    assert sorted(keys(plan, "train") + keys(plan, "val")) == sorted(some)
    assert plan.count("val") == validation_size(len(some), CONFIG.val)
    assert all(0 < len(shard.records) <= CONFIG.shard_size for shard in plan.shards)


@given(names, st.integers(1, 8))
def test_no_group_is_in_both_splits_and_train_is_never_empty(some: list[str], groups: int) -> None:
    plan = plan_of(records_of(some, groups))
    group = {record.key: record.group for shard in plan.shards for record in shard.records}
    assert not {group[key] for key in keys(plan, "train")} & {group[key] for key in keys(plan, "val")}
    assert keys(plan, "train")


@given(names, st.randoms())
def test_the_order_of_the_source_does_not_matter(some: list[str], random: object) -> None:
    records = records_of(some)
    shuffled = records.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert plan_of(records).hash == plan_of(shuffled).hash


@given(names, st.integers(1, 6), st.integers(1, 3))
def test_shards_of_a_source_with_archives_hold_few_and_whole_ones(some: list[str], archives: int, most: int) -> None:
    records = [Record(name, name, {"archive": str(i % archives)}) for i, name in enumerate(some)]
    near = make_plan(Selection(records, len(records), {}, locality=Locality("archive", most)), CONFIG)
    far = plan_of(records)
    for split in ("train", "val"):
        assert sorted(keys(near, split)) == sorted(keys(far, split))
        inside = [{record.fields["archive"] for record in s.records} for s in near.shards if s.split == split]
        members = Counter(record.fields["archive"] for s in near.shards if s.split == split for record in s.records)
        assert all(len(here) <= most for here in inside)
        for archive, count in members.items():
            assert sum(archive in here for here in inside) == math.ceil(count / CONFIG.shard_size)
    assert all(0 < len(shard.records) <= CONFIG.shard_size for shard in near.shards)


@given(names, st.integers(2, 6))
def test_validation_apart_touches_as_few_archives_as_hold_it(some: list[str], archives: int) -> None:
    records = [Record(name, name, {"archive": str(i % archives)}) for i, name in enumerate(some)]
    plan = make_plan(Selection(records, len(records), {}, locality=Locality("archive", 9, apart=True)), CONFIG)
    inside = {
        split: Counter(r.fields["archive"] for shard in plan.shards if shard.split == split for r in shard.records)
        for split in ("train", "val")
    }
    assert sum(inside["val"].values()) == len(keys(plan_of(records), "val"))
    assert len(inside["val"].keys() & inside["train"].keys()) <= 1, "one archive at most is read for both"


def test_a_group_that_lies_in_several_archives_is_held_out_last() -> None:
    records = [Record(f"k{i}", f"g{i}", {"archive": str(i % 5)}) for i in range(40)]
    records += [Record(f"m{i}", "many", {"archive": str(i)}) for i in range(5)]
    plan = make_plan(Selection(records, len(records), {}, locality=Locality("archive", 9, apart=True)), CONFIG)
    assert keys(plan, "val")
    assert not [key for key in keys(plan, "val") if key.startswith("m")]


def test_records_that_are_not_held_count_as_beyond_the_limit() -> None:
    config = replace(CONFIG, limit=3)
    some = records_of([f"k{i}" for i in range(9)])
    whole = make_plan(Selection(some, 9, {}), config)
    held = make_plan(Selection(drawn(iter(some), config), 9, {}, not_drawn=6), config)
    assert whole == replace(held, selection=whole.selection)
    assert whole.beyond_limit == held.beyond_limit == 6


def test_validation_size() -> None:
    default = ValidationSplit()
    assert [validation_size(n, default) for n in (0, 1, 2, 10, 36_000)] == [0, 0, 1, 1, 1000]
    assert validation_size(100, ValidationSplit(max=0)) == 0


def test_another_seed_gives_another_split_and_order() -> None:
    records = records_of([f"k{i}" for i in range(50)])
    first, second = plan_of(records), plan_of(records, replace(CONFIG, seed=1))
    assert keys(first, "train") != keys(second, "train")
    assert set(keys(first, "val")) != set(keys(second, "val"))


def test_the_limit_takes_the_same_first_records() -> None:
    records = records_of([f"k{i}" for i in range(50)])
    small, larger = (plan_of(records, replace(CONFIG, limit=limit)) for limit in (10, 20))
    assert small.count("train") + small.count("val") == 10
    assert small.beyond_limit == 40
    assert set(keys(small, "train") + keys(small, "val")) < set(keys(larger, "train") + keys(larger, "val"))


def test_a_changed_record_changes_the_hash_of_its_shard_only() -> None:
    records = records_of([f"k{i}" for i in range(50)])
    changed = [Record(record.key, record.group, {"n": -1}) if record.key == "k3" else record for record in records]
    pairs = list(zip(plan_of(records).shards, plan_of(changed).shards, strict=True))
    differing = [a for a, b in pairs if a.hash != b.hash]
    assert len(differing) == 1
    assert "k3" in {record.key for record in differing[0].records}


@pytest.mark.parametrize("bad", [["a.b"], ["A"], ["a", "a"], ["ä"], [""]])
def test_keys_that_shards_cannot_hold_are_refused(bad: list[str]) -> None:
    with pytest.raises(DataError, match="key"):
        plan_of(records_of(bad))


def test_an_empty_selection_is_refused_with_the_reasons(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing is left.*crowd 3"):
        make_plan(Selection([], 3, {"crowd": 3}), CONFIG)


def test_the_hash_of_a_shard_is_that_of_its_records_as_json() -> None:
    """Written out, so that unfinished builds of before go on."""
    records = [Record(f"k{i}", "größe", {"n": i, "box": (1, 2), "nested": {"b": None, "a": 0.5}}) for i in range(3)]
    (shard,) = plan_of(records, replace(CONFIG, val=ValidationSplit(max=0))).shards
    told = [{"key": one.key, "group": one.group, "fields": one.fields} for one in shard.records]
    assert shard.hash == digest_of(told)
    assert pickle.loads(pickle.dumps(shard.records)) == shard.records


@pytest.mark.parametrize("value", ["007", 'a "quoted" one', "back\\slash", "", "naïve"])
def test_one_field_is_what_all_of_them_say(value: str) -> None:
    for fields in ({"archive": value, "name": "x"}, {"name": value, "archive": "x"}, {"archive": {"archive": value}}):
        record = Record("key", "group", fields)
        assert record.field("archive") == record.fields["archive"]
