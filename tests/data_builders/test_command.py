"""The real command: output, exit codes, and what a kill or a full disk leaves."""

import json
import os
import resource
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.helpers.building import ROOT, command, digests, environment, run_command, samples_in
from tests.helpers.coco_source import write_coco_source
from tests.helpers.killing import killed_ten_times, shards_of, wait_for_a_shard


def test_a_build_and_its_repetition(tmp_path: Path, coco: Path) -> None:
    words = command(coco, tmp_path / "out", "executor.workers=2")
    first = run_command(words, tmp_path)
    assert first.returncode == 0, first.stderr
    assert "10 samples in 4 shards; dropped while reading: none" in first.stdout
    assert len(samples_in(tmp_path / "out" / "object")) == 10
    again = run_command(words, tmp_path)
    assert "4 of them were there already" in again.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["out"], "Hydra left something behind"


def test_a_dry_run_prints_the_plan_and_writes_nothing(tmp_path: Path, coco: Path) -> None:
    done = run_command(command(coco, tmp_path / "out", "dry_run=true", "filters.min_side=140"), tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    side = next(int(words[-1]) for words in lines if words[:2] == ["-", "side"])
    planned = next(int(words[-1]) for words in lines if words[:2] == ["records", "planned"])
    assert side > 0
    assert side + planned == 10
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["source.root=nowhere"], "annotations_trainval2017.zip"),
        (["filters.min_sde=3"], "did you mean filters.min_side?"),
        (["filters.min_area=2"], "filters.min_area=2.0 must be below"),
        (["task=portrait"], "portrait"),
    ],
)
def test_mistakes_end_with_2_a_message_and_no_traceback(
    tmp_path: Path, coco: Path, overrides: list[str], message: str
) -> None:
    done = run_command(command(coco, tmp_path / "out", *overrides), tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_help_lists_choices_settings_and_an_example(tmp_path: Path) -> None:
    done = run_command([*command(tmp_path, tmp_path)[:2], "task=object", "--help"], tmp_path)
    assert done.returncode == 0
    choices = "captioner: dataset, openai, template"
    for needed in (choices, "task: object", "min_side: 96", "dry_run=true", "source.root=/data"):
        assert needed in done.stdout


def test_starting_does_not_import_torch() -> None:
    code = "import sys, data_builders.engine.run, data_builders.coco.builder; sys.exit('torch' in sys.modules)"
    assert subprocess.run([command(ROOT, ROOT)[0], "-c", code], env=environment(), check=False).returncode == 0


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.slow
def test_a_full_disk_is_refused_and_the_build_continues_afterwards(tmp_path: Path, coco: Path, workers: int) -> None:
    """A limit on the size of files makes a write fail in the middle of a shard, as a full disk does."""
    words = command(coco, tmp_path / "out", f"executor.workers={workers}")
    done = subprocess.run(
        words,
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000)),
    )
    assert done.returncode == 2
    assert "cannot write in" in done.stderr
    assert "Traceback" not in done.stderr
    folder = tmp_path / "out" / "object"
    assert not [path.name for path in folder.glob("train-*")]
    assert not list(folder.glob(".*.tmp"))
    assert run_command(words, tmp_path).returncode == 0
    assert len(samples_in(folder)) == 10


@pytest.mark.slow
def test_killed_ten_times_at_random_moments_gives_the_same_bytes(tmp_path: Path) -> None:
    source = write_coco_source(tmp_path / "coco", images=60)
    settings = ("executor.workers=2", "image_size=512", "shard_size=3")
    assert run_command(command(source, tmp_path / "whole", *settings), tmp_path).returncode == 0
    expected = digests(tmp_path / "whole" / "object")
    words = command(source, tmp_path / "killed", *settings)
    assert killed_ten_times(words, tmp_path / "killed" / "object", shards_of(expected)) == expected


def test_workers_leave_when_their_parent_is_killed(tmp_path: Path) -> None:
    source = write_coco_source(tmp_path / "coco", images=24)
    words = command(source, tmp_path / "out", "executor.workers=2", "image_size=512", "shard_size=2")
    victim = subprocess.Popen(
        words,
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_for_a_shard(tmp_path / "out" / "object", victim, 0.0)
    assert processes_of(victim.pid) > 1
    victim.kill()
    victim.wait(timeout=30)
    until = time.monotonic() + 120
    while processes_of(victim.pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert processes_of(victim.pid) == 0


def processes_of(session: int) -> int:
    """How many live processes a session has."""
    count = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, _, owner = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            except OSError:
                continue
            count += int(owner) == session and state != "Z"
    return count


def test_two_commands_on_one_output(tmp_path: Path) -> None:
    source = write_coco_source(tmp_path / "coco", images=40)
    words = command(source, tmp_path / "out", "image_size=512")
    first = subprocess.Popen(words, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_for_a_shard(tmp_path / "out" / "object", first, 0.0)
    first.send_signal(signal.SIGSTOP)  # so that it holds the output for as long as the second tries
    second = run_command(words, tmp_path)
    first.send_signal(signal.SIGCONT)
    assert second.returncode == 2
    assert "another process is building" in second.stderr
    first.communicate(timeout=60)
    assert first.returncode == 0
    assert len(samples_in(tmp_path / "out" / "object")) == 40


def test_an_interrupt_says_how_to_go_on(tmp_path: Path) -> None:
    source = write_coco_source(tmp_path / "coco", images=60)
    words = command(source, tmp_path / "out", "image_size=512", "executor.workers=2")
    victim = subprocess.Popen(words, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_for_a_shard(tmp_path / "out" / "object", victim, 0.0)
    victim.send_signal(signal.SIGINT)
    _, message = victim.communicate(timeout=60)
    assert victim.returncode == 130
    assert b"same command continues" in message


def test_the_real_sample(tmp_path: Path) -> None:
    """Two real photographs with their real annotations, where the checkout has them beside it."""
    shared = Path(os.environ.get("IPAI_SHARED", ROOT.parent / "shared"))
    source = shared / "data" / "coco_sample"
    if not source.exists():
        pytest.skip("no real sample here")
    words = command(source, tmp_path / "out", "captioner=template", "image_size=512")
    done = run_command(words, tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "out" / "object"
    assert (len(samples_in(folder, "train-*.tar")), len(samples_in(folder, "val-*.tar"))) == (1, 1)
    facts = {key: sample["json"] for key, sample in samples_in(folder).items()}
    licences = {key: fact["source"]["licence"]["url"] for key, fact in facts.items()}
    assert licences == {
        "val2017-000000000785-442619": "http://creativecommons.org/licenses/by/2.0/",
        "val2017-000000196141-1717641": "http://creativecommons.org/licenses/by-nc-sa/2.0/",
    }
    assert {json.dumps(fact["slot"]) for fact in facts.values()} == {'"person"'}
