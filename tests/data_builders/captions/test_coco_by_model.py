"""COCO with captioner=openai, through the real command against a real server: money, bytes, kills, secrets."""

import base64
import hashlib
import io
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data_builders.captions.captioner import model_captioner
from data_builders.engine.config import deciding_settings
from data_builders.registry import create_builder
from ipai.errors import ConfigError, DataError
from tests.helpers.building import build_all, command, configure, digests, environment, run_command, samples_in
from tests.helpers.coco_source import CocoWriter, write_coco_source
from tests.helpers.model_server import KEY, Asked, Does, fails, says, serving

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")]


def describes(asked: Asked) -> Does:
    """A caption that tells one picture from another."""
    return says({"caption": f"something called {hashlib.sha256(asked.about.encode()).hexdigest()[:8]} on a table"})


def words(source: Path, folder: Path, url: str, *overrides: str, out: str = "out") -> list[str]:
    """The real command, asking the server at `url` and keeping the answers in `folder`."""
    asking = ("captioner=openai", f"captioner.base_url={url}", f"captioner.cache={folder}/answers.sqlite")
    return command(source, folder / out, *asking, *overrides)


def test_each_picture_is_asked_about_once_and_its_caption_reaches_the_record(tmp_path: Path, coco: Path) -> None:
    with serving(describes) as server:
        done = run_command(words(coco, tmp_path, server.url, "executor.workers=2"), tmp_path)
        assert done.returncode == 0, done.stderr
        assert "object captions: 10 asked (none refused), 0 known before" in done.stdout
        assert set(server.counts.values()) == {1}
        samples = samples_in(tmp_path / "out" / "object")
        captions = {describes(Asked(about, 0, {})).body["choices"][0]["message"]["content"] for about in server.counts}
        assert {json.dumps({"caption": sample["json"]["prompt"]}) for sample in samples.values()} == captions
        assert len(samples) == len(captions) == 10
        for sample in samples.values():
            written = sample["json"]["generation"]["caption"]
            assert (written["model"], written["asked_for"]) == ("gpt-4o-2024-08-06", "gpt-4o")
            assert len(written["date"]) == 10
        parts = server.requests[0]["messages"][0]["content"]
        again = run_command(words(coco, tmp_path, server.url), tmp_path)
        assert "4 of them were there already" in again.stdout
        assert server.counts.total() == 10
    assert "photograph" in parts[0]["text"]
    assert "{" not in parts[0]["text"]
    assert parts[1]["image_url"]["detail"] == "low"
    sent = Image.open(io.BytesIO(base64.b64decode(parts[1]["image_url"]["url"].split(",")[1])))
    assert (sent.format, sent.size) == ("JPEG", (64, 64))
    card = (tmp_path / "out" / "object" / "card.md").read_text()
    assert "> Write one caption for this photograph" in card
    assert "caption_refused" in card


def test_one_and_two_workers_give_the_same_bytes(tmp_path: Path, coco: Path) -> None:
    with serving(describes) as server:
        for workers in (1, 2):
            settings = (f"executor.workers={workers}", f"captioner.concurrency={workers}")
            done = run_command(words(coco, tmp_path, server.url, *settings, out=str(workers)), tmp_path)
            assert done.returncode == 0, done.stderr
        assert server.counts.total() == 10
    one, two = (digests(tmp_path / str(workers) / "object") for workers in (1, 2))
    assert one == two


def test_killed_while_asking_it_goes_on_and_pays_for_no_answer_twice(tmp_path: Path) -> None:
    source = write_coco_source(tmp_path / "coco", images=30)
    with serving(lambda asked: Does(body=describes(asked).body, wait=0.03)) as server:
        order = words(source, tmp_path, server.url, "captioner.concurrency=3")
        victim = subprocess.Popen(order, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while server.counts.total() < 12 and victim.poll() is None:
            time.sleep(0.002)
        victim.kill()
        victim.wait()
        done = run_command(order, tmp_path)
        assert done.returncode == 0, done.stderr
        assert len(server.counts) == 30
        assert server.counts.total() <= 30 + 3  # those under way at the kill, which answered nobody
    assert len(samples_in(tmp_path / "out" / "object")) == 30


def test_refusals_and_unusable_answers_are_counted_drops(tmp_path: Path, coco: Path) -> None:
    seen: list[str] = []

    def script(asked: Asked) -> Does:
        if asked.about not in seen:
            seen.append(asked.about)
        number = seen.index(asked.about)
        if number == 0:
            return says(None, refusal="I cannot describe people.")
        if number == 1:
            return says({"caption": "I'm sorry, I can't help with that."})
        return says({"caption": "the image shows a dog"}) if number == 2 else describes(asked)

    with serving(script) as server:
        done = run_command(words(coco, tmp_path, server.url), tmp_path)
        assert done.returncode == 0, done.stderr
        assert "10 asked (2 refused, 1 unusable)" in done.stdout
        assert 'bad answers: it speaks of "the image" 2' in done.stdout
        assert "7 samples in 4 shards; dropped while reading: caption_refused 2, caption_unusable 1" in done.stdout
        assert server.counts.total() == 11
        run_command(words(coco, tmp_path, server.url, out="again"), tmp_path)
        assert server.counts.total() == 11


def test_a_set_that_loses_all_is_a_failure_and_the_model_is_named_as_its_cause(tmp_path: Path, coco: Path) -> None:
    with serving(lambda _: says(None, refusal="I cannot describe people.")) as server:
        done = run_command(words(coco, tmp_path, server.url, "max_drop_fraction=1"), tmp_path)
    assert done.returncode == 2
    assert "the data set object is empty: all 10 planned samples were dropped (caption_refused 10)" in done.stderr
    with serving(lambda _: says({"caption": "a red fo"}, finish="length")) as server:
        done = run_command(words(coco, tmp_path / "other", server.url), tmp_path)
    assert done.returncode == 2
    assert "questions to gpt-4o came to nothing that can be used (it was cut off at the longest length" in done.stderr
    assert not (tmp_path / "other" / "out" / "object" / "card.md").exists()


def test_what_cannot_be_read_is_not_asked_about(tmp_path: Path) -> None:
    writer = CocoWriter(tmp_path / "coco")
    box = (60.0, 40.0, 120.0, 120.0)
    for content in (None, b"", b"text", None):
        writer.object(writer.photo(content=content), box)
    writer.object(writer.photo(), box, segmentation=[[60, 40, 60, 40, 60, 40]])
    with serving(describes) as server:
        done = run_command(words(writer.save(), tmp_path, server.url), tmp_path)
        assert done.returncode == 0, done.stderr
        assert server.counts.total() == 2
    assert "missing_file 1, not_an_image 1" in done.stdout


def test_the_budget_stops_the_command_and_a_higher_one_goes_on(tmp_path: Path, coco: Path) -> None:
    with serving(describes) as server:
        done = run_command(words(coco, tmp_path, server.url, "captioner.max_requests=4"), tmp_path)
        assert done.returncode == 2
        assert "4 answers of max_requests=4" in done.stderr
        assert "at most 6 are left" in done.stderr
        assert not list((tmp_path / "out" / "object").glob("train-*"))
        done = run_command(words(coco, tmp_path, server.url, "captioner.max_requests=10"), tmp_path)
        assert done.returncode == 0, done.stderr
        assert set(server.counts.values()) == {1}


def test_batches_are_handed_in_by_one_start_and_collected_by_a_later_one(tmp_path: Path, coco: Path) -> None:
    with serving(describes) as server:
        order = words(coco, tmp_path, server.url, "captioner.mode=batch")
        done = run_command(order, tmp_path)
        assert done.returncode == 2
        assert "10 of 10 questions are in batches" in done.stderr
        server.finish()
        done = run_command(order, tmp_path)
        assert done.returncode == 0, done.stderr
        assert set(server.counts.values()) == {1}
    assert len(samples_in(tmp_path / "out" / "object")) == 10


def test_a_dry_run_prints_the_bill_and_sends_nothing(tmp_path: Path, coco: Path) -> None:
    with serving(describes) as server:
        prices = ("captioner.price.input=1000", "captioner.price.output=0", "captioner.expected.input=200")
        dry = words(coco, tmp_path, server.url, "dry_run=true", "captioner.max_dollars=7", *prices)
        done = run_command(dry, tmp_path)
        assert done.returncode == 0, done.stderr
        assert "captions to ask gpt-4o for: 10 of 10" in done.stdout
        assert "likely price: $2.00 at $0.20000 each (expected, check the prices)" in done.stdout
        assert not server.counts
        assert not list(tmp_path.iterdir())
        run_command(words(coco, tmp_path, server.url, "limit=4", *prices, out="other"), tmp_path)
        done = run_command(dry, tmp_path)
        assert "captions to ask gpt-4o for: 6 of 10" in done.stdout
        assert "likely price: $1.80 at $0.30000 each (measured)" in done.stdout


def test_the_key_is_nowhere(tmp_path: Path, coco: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in files, logs (the SDK's own at their most talkative), configuration, or errors that quote it."""
    monkeypatch.setenv("OPENAI_LOG", "debug")
    with serving(describes) as server:
        order = words(coco, tmp_path, server.url)
        printed = [run_command(order, tmp_path), run_command([*order, "--cfg", "job"], tmp_path)]
        server.script = lambda _: fails(401, f"Incorrect API key provided: {KEY[:8]}***{KEY[-4:]}, not {KEY}")
        printed.append(run_command(words(coco, tmp_path, server.url, "captioner.model=other", out="b"), tmp_path))
    assert [done.returncode for done in printed] == [0, 0, 2]
    assert "refuses the key in OPENAI_API_KEY" in printed[2].stderr
    for done in printed:
        assert KEY not in done.stdout + done.stderr
    assert f"***{KEY[-4:]}" not in printed[2].stderr.rpartition("error:")[2]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def openai_config(source: Path, output: Path, *overrides: str) -> Any:
    cache = f"captioner.cache={output}/answers.sqlite"
    return configure(source, output, "captioner=openai", cache, *overrides)


def test_only_what_changes_the_question_decides(tmp_path: Path, coco: Path) -> None:
    base = openai_config(coco, tmp_path)
    kind = model_captioner(base).kind  # type: ignore[union-attr]
    for override in ("base_url=http://localhost:1/v1", "concurrency=2", "max_dollars=1", "price.input=9", "timeout=9"):
        other = openai_config(coco, tmp_path, f"captioner.{override}")
        assert deciding_settings(other) == deciding_settings(base)
        assert model_captioner(other).kind == kind  # type: ignore[union-attr]
    (tmp_path / "mine.txt").write_text("Describe it in {max_words} words.")
    for override in (
        "model=x",
        "detail=high",
        "side=256",
        "max_words=20",
        "temperature=0",
        f"prompt={tmp_path}/mine.txt",
    ):
        assert model_captioner(openai_config(coco, tmp_path, f"captioner.{override}")).kind != kind  # type: ignore[union-attr]


def test_another_prompt_is_another_plan(tmp_path: Path, coco: Path) -> None:
    prompt = tmp_path / "mine.txt"
    prompt.write_text("Describe it.")
    with serving(describes) as server:
        order = words(coco, tmp_path, server.url, f"captioner.prompt={prompt}")
        assert run_command(order, tmp_path).returncode == 0
        prompt.write_text("Describe it well.")
        done = run_command(order, tmp_path)
        assert done.returncode == 2
        assert "choose another output=" in done.stderr
        assert server.counts.total() == 10


def test_a_picture_that_nobody_asked_about_stops_the_build(tmp_path: Path, coco: Path) -> None:
    with pytest.raises(DataError, match="repeat the command, and that one is asked about"):
        build_all(openai_config(coco, tmp_path))


def test_the_builder_pickles_without_a_key(tmp_path: Path, coco: Path) -> None:
    import pickle

    builder = create_builder(openai_config(coco, tmp_path))
    assert os.environ["OPENAI_API_KEY"] == KEY
    assert KEY.encode() not in pickle.dumps(builder)
    assert KEY not in repr(builder.__dict__)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["captioner.modell=x"], "captioner.modell"),
        (["captioner.mode=later"], "captioner.mode=later is none of live, batch"),
        (["captioner.base_url=localhost"], "captioner.base_url must be such as"),
        (["captioner.base_url=http://user:pass@host/v1"], "without a user name or password"),
        ([f"captioner.api_key_env={KEY}"], "not the key itself"),
        (["captioner.concurrency=0", "captioner.side=8"], r"(?s)concurrency=0.*captioner\.side=8 must lie"),
        (["captioner.max_dollars=-1"], "captioner.max_dollars=-1.0 must not be negative"),
        (["captioner.detail=tiny"], "captioner.detail=tiny is none of"),
        (["captioner.timeout=inf"], "captioner.timeout=inf"),
        (["captioner.max_words=1"], "must be at least 5"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(Exception, match=message) as caught:
        openai_config(tmp_path, tmp_path, *overrides)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"x" * 30_000])
def test_a_prompt_that_cannot_be_used_is_refused(tmp_path: Path, coco: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "mine.txt").write_bytes(content)
    with pytest.raises(ConfigError, match=r"captioner\.prompt="):
        create_builder(openai_config(coco, tmp_path, f"captioner.prompt={tmp_path}/mine.txt"))


def test_builders_that_take_no_such_captions_say_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="captioner=openai"):
        configure(tmp_path, tmp_path, "task=structure", "captioner=openai")
