"""`build_datasets.py task=instructions`, the real command against a real server."""

import hashlib
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException

from data_builders.instructions.builder import Pool, build_pools
from data_builders.instructions.config import parse_instructions
from ipai.errors import ConfigError, DataError, InstructionError
from ipai.instructions.pools import SHIPPED, load_pool
from tests.helpers.building import ROOT, digests, environment, run_command
from tests.helpers.model_server import KEY, Asked, Does, says, serving

_WORDS = [
    f"{first}{second}"
    for first in ("ba", "co", "du", "fe", "gi", "lo", "mu")
    for second in ("lo", "ra", "ti", "vu", "ze")
]


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def writes(asked: Asked) -> Does:
    """Twenty lines that follow from the request: five good ones, and repetitions, foreign key words, refusals."""
    draw = random.Random(hashlib.sha256(asked.about.encode()).digest())
    new = [f"take the object: {' '.join(draw.sample(_WORDS, 7))}" for _ in range(5)]
    fixed = [
        "Take the object.",
        "Take the object of the STYLE.",
        "Take its Face and the object",
        "",
        "I'm sorry, I cannot do that.",
    ]
    return says({"instructions": [*new, *fixed, *(line.upper() for line in new), *fixed]})


def words(url: str, folder: Path, *overrides: str, out: str = "pools") -> list[str]:
    """The real command, for the object task."""
    asking = (f"writer.base_url={url}", f"writer.cache={folder}/answers.sqlite", "tasks=[object]")
    small = ("count.train=40", "count.val=10", "per_request=20", "writer.concurrency=2")
    script = str(ROOT / "scripts" / "build_datasets.py")
    return [sys.executable, script, "task=instructions", f"output={folder / out}", *asking, *small, *overrides]


def write(url: str, folder: Path, *overrides: str, out: str = "pools") -> list[Pool]:
    """The same in this process."""
    chosen = words(url, folder, *overrides, out=out)[2:]
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf" / "build")):
        raw = compose("build_datasets", overrides=chosen)
    return list(build_pools(parse_instructions(raw, chosen), lambda _: None))


def test_the_pools_are_whole_and_follow_the_rules(tmp_path: Path) -> None:
    shipped = digests(SHIPPED)
    with serving(writes) as server:
        done = run_command(words(server.url, tmp_path), tmp_path)
        assert done.returncode == 0, done.stderr
        assert set(server.counts.values()) == {1}
        asked = server.counts.total()
        write(server.url, tmp_path, out="again")
        assert server.counts.total() == asked
    train, val = (load_pool("object", split, tmp_path / "pools") for split in ("train", "val"))
    assert (len(train), len(val)) == (40, 10)
    assert all("{object}" in line for line in (*train, *val))
    head = (tmp_path / "pools" / "object.train.txt").read_text().splitlines()[:5]
    assert "gpt-4o-2024-08-06" in head[1]
    assert "Generate ways to describe taking an object from an image" in head[2]
    assert digests(tmp_path / "pools") == digests(tmp_path / "again")
    assert sorted(digests(tmp_path / "pools")) == ["object.train.txt", "object.val.txt"]
    assert digests(SHIPPED) == shipped
    assert "key_word" in done.stdout
    assert "duplicate" in done.stdout


def test_killed_it_takes_the_same_way_without_paying_again(tmp_path: Path) -> None:
    with serving(lambda asked: Does(body=writes(asked).body, wait=0.05)) as server:
        order = words(server.url, tmp_path)
        victim = subprocess.Popen(order, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while server.counts.total() < 6 and victim.poll() is None:
            time.sleep(0.002)
        victim.kill()
        victim.wait()
        assert not list(tmp_path.glob("pools/*"))
        done = run_command(order, tmp_path)
        assert done.returncode == 0, done.stderr
        assert server.counts.total() <= len(server.counts) + 2  # those under way at the kill
        write(server.url, tmp_path, f"writer.cache={tmp_path}/new.sqlite", out="whole")
    assert digests(tmp_path / "pools") == digests(tmp_path / "whole")


def test_the_budget_ends_it_and_nothing_appears(tmp_path: Path) -> None:
    with serving(writes) as server:
        with pytest.raises(DataError, match="3 answers of max_requests=3"):
            write(server.url, tmp_path, "writer.max_requests=3")
        assert not list(tmp_path.glob("pools/*"))
        write(server.url, tmp_path)
        assert set(server.counts.values()) == {1}


def test_a_model_that_repeats_itself_is_given_up(tmp_path: Path) -> None:
    with serving(lambda _: says({"instructions": ["Take the object.", "Keep an object", "Take the face"]})) as server:
        with pytest.raises(InstructionError, match=r"for object: 2 of 50 \(left out: duplicate \d+, key_word"):
            write(server.url, tmp_path, "stale_requests=4")
        assert server.counts.total() <= 16
    assert not list(tmp_path.glob("pools/*"))


def test_pools_that_stand_in_the_output_are_replaced_only_by_whole_ones(tmp_path: Path) -> None:
    (tmp_path / "pools").mkdir()
    for split in ("train", "val"):
        (tmp_path / "pools" / f"object.{split}.txt").write_text(f"Keep the {{object}} for {split}.\n")
    with serving(lambda _: says(None, refusal="no")) as server:
        with pytest.raises(InstructionError, match="0 of 50"):
            write(server.url, tmp_path, "stale_requests=2")
        assert load_pool("object", "train", tmp_path / "pools") == ("Keep the {object} for train.",)
        server.script = writes
        write(server.url, tmp_path, "seed=1")
    assert len(load_pool("object", "train", tmp_path / "pools")) == 40


def test_all_tasks_one_after_the_other(tmp_path: Path) -> None:
    def script(asked: Asked) -> Does:
        draw = random.Random(asked.about)
        return says({"instructions": [f"carry over {' '.join(draw.sample(_WORDS, 6))}" for _ in range(20)]})

    with serving(script) as server:
        tasks = [pool.task for pool in write(server.url, tmp_path, "tasks=[style,copy]", "count.train=20")]
    assert tasks == ["copy", "style"]
    assert [len(load_pool(task, "val", tmp_path / "pools")) for task in tasks] == [10, 10]


def test_a_dry_run_prints_the_bill(tmp_path: Path) -> None:
    with serving(writes) as server:
        dry = run_command(words(server.url, tmp_path, "tasks=null", "dry_run=true"), tmp_path)
        assert dry.returncode == 0, dry.stderr
        assert "copy, style, object, structure, face: about 25 requests, $0.33" in dry.stdout
        assert not server.counts
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["limit=5"], "task=instructions has no setting limit"),
        (["captioner=template"], "task=instructions has no setting captioner"),
        (["tasks=[colour]"], "tasks=colour is none of copy"),
        (["count.val=0", "max_overlap=2"], "max_overlap=2.0 must lie between 0 and 1"),
        (["writer.mode=batch"], "set writer.mode=live"),
        (["writer.api_key_env=NOT_THERE"], "NOT_THERE is not set"),
        (["count.trian=1"], "count.trian"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path: Path, overrides: list[str], message: str) -> None:
    with pytest.raises((ConfigError, HydraException), match=message):
        write("http://127.0.0.1:9/v1", tmp_path, *overrides)


def test_a_mistake_ends_the_command_with_2_and_no_traceback(tmp_path: Path) -> None:
    done = run_command(words("http://127.0.0.1:9/v1", tmp_path, "limit=5"), tmp_path)
    assert done.returncode == 2
    assert "task=instructions has no setting limit" in done.stderr
    assert "Traceback" not in done.stderr
