"""Several sets of one task in a run: drawn by weight, filtered alone, named in the run's facts."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ipai.backbones.families import read_dims
from ipai.config import TrainingRun
from ipai.data.order import CYCLE, SampleOrder
from ipai.errors import CheckpointError, ConfigError, DataError
from ipai.runs.data_sets import NAME, lines, read_data_sets
from ipai.training.datasets import build_datasets, facts_of, open_all_shards, weights_of
from ipai.training.run import train
from tests.helpers.shard_writer import write_shards
from tests.training.conftest import Assemble, assert_resumed_alike

Configure = Callable[..., TrainingRun]


@pytest.fixture
def more(tmp_path: Path) -> Path:
    """Another set of style pairs, with what its sidecars say of the licences."""
    folder = tmp_path / "more"
    for split, count in (("train", 9), ("val", 3)):
        write_shards(folder, "style", count, split=split, shards=1, size=64)
        tar = folder / "style" / f"{split}-000000.tar"
        names = ["CC0-1.0"] * (count - 2) + ["CC-BY-4.0", None]
        told = [{"key": str(n), "source": {"licence": name and {"name": name}}} for n, name in enumerate(names)]
        tar.with_suffix(".json").write_text(json.dumps({"bytes": tar.stat().st_size, "samples": told}))
    return folder


def mine(more: Path, **settings: object) -> str:
    said = "".join(f", {key}: {value}" for key, value in settings.items())
    return f"+data.sources.mine={{task: style, root: {more}{said}}}"


def test_a_task_shares_its_weight_among_its_sets(configure: Configure, more: Path) -> None:
    config = configure(mine(more, weight=3.0), "data.weights.style=2.0")
    shards = open_all_shards(config, config.tasks, "train")
    assert list(shards) == ["copy", "style", "style/mine", "object", "structure", "face"]
    assert weights_of(config.data, shards) == {
        "copy": 1.0, "style": 0.5, "style/mine": 1.5, "object": 1.0, "structure": 1.0, "face": 1.0,
    }  # fmt: skip
    order = SampleOrder(0, 4, {name: len(held) for name, held in shards.items()}, weights_of(config.data, shards))
    drawn = Counter(order.at(step, slot).set_name for step in range(CYCLE // 4) for slot in range(4))
    assert {name: round(count / CYCLE, 2) for name, count in drawn.items()} == {
        "copy": 0.17, "style": 0.08, "style/mine": 0.25, "object": 0.17, "structure": 0.17, "face": 0.17,
    }  # fmt: skip


def test_a_run_with_one_set_a_task_draws_as_it_always_did(configure: Configure) -> None:
    config = configure()
    shards = open_all_shards(config, config.tasks, "train")
    assert weights_of(config.data, shards) == dict.fromkeys(config.tasks, 1.0)


def test_samples_of_a_further_set_are_told_its_tasks_instructions(configure: Configure, more: Path) -> None:
    config = configure(mine(more, weight=1e3), "tasks=[style]", "validation.samples=2")
    training, validation = build_datasets(config, read_dims(config.base))
    samples = [training[0, slot] for slot in range(40)]
    assert {sample.task for sample in samples} == {"style"}
    assert {key.rpartition("/")[0] for key in training.keys_of(0, list(range(40)))} == {"style/mine"}
    assert len(validation) == 4, "two of each set"


def test_the_filter_of_a_set_is_its_own(configure: Configure, more: Path) -> None:
    config = configure(mine(more, filter="'prompt == \"picture 4\"'"), "tasks=[style]")
    assert {name: len(held) for name, held in open_all_shards(config, ["style"], "train").items()} == {
        "style": 6, "style/mine": 1,
    }  # fmt: skip


def test_a_task_may_have_nothing_but_further_sets(configure: Configure, more: Path, tmp_path: Path) -> None:
    config = configure(mine(more), "tasks=[style]", f"data.root={tmp_path / 'nothing'}")
    shards = open_all_shards(config, ["style"], "train")
    assert list(shards) == ["style/mine"]
    assert weights_of(config.data, shards) == {"style/mine": 1.0}


def test_facts_name_counts_shares_and_licences(configure: Configure, more: Path, tmp_path: Path) -> None:
    config = configure(mine(more, weight=4.0), "tasks=[style,copy]")
    facts = facts_of(config.data, open_all_shards(config, config.tasks, "train"))
    assert facts["style/mine"].licences == {"CC-BY-4.0": 1, "CC0-1.0": 7, "not stated": 1}
    assert (facts["style/mine"].samples, facts["style/mine"].share) == (9, 0.4)
    told = "style/mine: 9 samples in 1 shards, drawn 40.0%; licences: CC-BY-4.0 1, CC0-1.0 7, not stated 1"
    assert told in list(lines(facts, 64))
    sides = {one.side for one in facts.values()}
    assert 0 not in sides
    enlarged = [line for line in lines(facts, 1024) if "enlarged to base.resolution=1024" in line]
    assert len(enlarged) == len(facts)
    assert f"or set base.resolution={facts['copy'].side}" in "".join(enlarged)
    assert not [line for line in lines(facts, min(sides)) if "enlarged" in line]
    odd = {"own": replace(facts["copy"], side=500)}
    assert next(line for line in lines(odd, 512) if "enlarged" in line).endswith("build the set with image_size=512")
    assert train(config) == 0
    assert read_data_sets(tmp_path / "run") == facts
    (tmp_path / "run" / NAME).write_text("{")
    with pytest.raises(CheckpointError, match="is damaged"):
        read_data_sets(tmp_path / "run")


def test_names_tasks_and_places_are_checked(configure: Configure, more: Path, tmp_path: Path) -> None:
    for words, message in (
        (f"+data.sources.a={{task: styles, root: {more}}}", "styles is none of"),
        (f"+data.sources.a={{task: style, root: {more}, weight: 0}}", "must be above 0"),
        (f"+data.sources.a={{task: style, root: {more}, wieght: 2}}", "wieght"),
        (f"+data.sources.A-B={{task: style, root: {more}}}", "a set's name is of a-z"),
        ("+data.sources.a={task: style, root: 's3://bucket/x'}", "local folders only"),
        ("+data.sources.a={task: style}", "data.sources.a.root"),
    ):
        with pytest.raises(ConfigError, match=message):
            configure(words)
    with pytest.raises(DataError, match=r"data\.sources\.mine: there are no shards"):
        open_all_shards(configure(mine(tmp_path / "nowhere")), ["style"], "train")


def test_a_resumed_run_ends_with_the_same_bytes_and_knows_its_sets(
    configure: Configure, more: Path, tmp_path: Path
) -> None:
    config = configure(mine(more), "checkpoint.every=1", f"run={tmp_path / 'a' / 'run'}")
    assert_resumed_alike(config, tmp_path / "a" / "run")
    shutil.rmtree(tmp_path / "a/run/checkpoints/step-00000002")
    write_shards(more, "style", 7, shards=1, size=64)
    (more / "style" / "train-000000.json").unlink()
    with pytest.raises(ConfigError, match="shards of style/mine, train"):
        train(config)


def test_a_further_set_may_move_as_the_first_may(configure: Configure, more: Path, tmp_path: Path) -> None:
    assert train(configure(mine(more), "tasks=[style]")) == 0
    shutil.copytree(more, tmp_path / "moved")
    assert train(configure(mine(tmp_path / "moved"), "tasks=[style]")) == 0, "finished, and not refused"
    with pytest.raises(ConfigError, match="another configuration"):
        train(configure(mine(more, weight=2.0), "tasks=[style]"))


def test_a_filter_needs_a_folder(configure: Configure) -> None:
    with pytest.raises(ConfigError, match=r"data\.filter\.style reads every record"):
        configure("data.root=s3://bucket/x", "data.filter.style='prompt != \"\"'")


def test_every_sets_cache_lies_beside_it(configure: Configure, more: Path, parts: Assemble) -> None:
    config = configure(mine(more))
    assert config.data.cache_of("style/mine") == more / "cache"
    assert config.data.cache_of("style") == config.data.cache_root
    with pytest.raises(DataError, match=f"no latents cache of {more}.* in {more}/cache/latents/style"):
        parts(mine(more), "data.latents=cache", "tasks=[style]", "+data.sources.b={task: copy, root: x}", "data.root=x")


def test_a_set_of_a_task_that_is_not_trained_is_told_of(
    configure: Configure, more: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = configure(mine(more), "tasks=[copy]")
    with caplog.at_level("WARNING"):
        build_datasets(config, read_dims(config.base))
    assert "data.sources.mine is of the task style, which is not trained: it is left out" in caplog.text
