"""A language model as a judge of pairs, against a server of this machine."""

import io
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import openai._base_client
import pytest
from hydra import compose, initialize_config_dir
from PIL import Image

from ipai.errors import ConfigError, DataError
from ipai.evaluation.config import EvaluationConfig
from ipai.evaluation.measures.judge import Judge, judged
from ipai.evaluation.measures.settings import JUDGED, JudgeChoice
from ipai.evaluation.scoring.statistics import SCORES
from ipai.evaluation.scoring.taken_and_leaked import LEAKED, TAKEN
from ipai.llm import asking
from ipai.schema import typed
from tests.helpers.composing import CONF
from tests.helpers.model_server import KEY, Asked, Does, says, serving

VERDICT = {"reasons": "the same colours", "style": 9, "composition": 2, "object": 0, "face": None}


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(openai._base_client, "INITIAL_RETRY_DELAY", 0.01)
    monkeypatch.setattr(asking, "_FIRST_WAIT", 0.02)


def picture(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 40), colour).save(buffer, "png")
    return buffer.getvalue()


PICTURES, CONDITIONS = [picture("red"), picture("blue")], [picture("green"), picture("white")]


def judge(folder: Path, url: str, **changes: object) -> Judge:
    settings = JudgeChoice(model="gpt-4o", base_url=url, cache=str(folder / "answers.sqlite"), patience=5.0)
    for name, value in changes.items():
        setattr(settings, name, value)
    return Judge(settings, "an evaluation")


def columns(of: Judge) -> dict[str, Sequence[float | None]]:
    return {name: respect(PICTURES, CONDITIONS) for name, respect in judged(of).items()}


def test_each_pair_is_asked_once_and_gives_a_number_in_every_respect(tmp_path: Path) -> None:
    with serving(lambda _: says(VERDICT)) as server:
        found = columns(judge(tmp_path, server.url))
        assert found == {
            "judge_style": [0.9, 0.9], "judge_composition": [0.2, 0.2], "judge_object": [0.0, 0.0],
            "judge_face": [None, None],
        }  # fmt: skip
        assert len(server.requests) == 2
        assert columns(judge(tmp_path, server.url)) == found
        assert len(server.requests) == 2
        columns(judge(tmp_path, server.url, side=256))  # another question
        assert len(server.requests) == 4


def test_the_condition_is_shown_first(tmp_path: Path) -> None:
    with serving(lambda _: says(VERDICT)) as server:
        judge(tmp_path, server.url).verdicts(PICTURES[:1], CONDITIONS[:1])
        words, first, second = server.requests[0]["messages"][0]["content"]
    assert words["text"].startswith("The first picture was a condition")
    red_and_green = [decoded(part["image_url"]["url"]) for part in (first, second)]
    assert [max(range(3), key=pixel.__getitem__) for pixel in red_and_green] == [1, 0]


def decoded(url: str) -> tuple[int, int, int]:
    import base64

    pixel = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).getpixel((20, 20))
    assert isinstance(pixel, tuple)
    return pixel  # type: ignore[return-value]


def test_what_cannot_be_used_leaves_a_gap_and_is_asked_twice(tmp_path: Path) -> None:
    answers = [says(VERDICT | {"style": 11}), says(VERDICT | {"style": 11}), says(VERDICT)]

    def script(_: Asked) -> Does:
        return answers.pop(0)

    with serving(script) as server:
        verdicts = judge(tmp_path, server.url, concurrency=1).verdicts(PICTURES, CONDITIONS)
    assert [None if one is None else one.style for one in verdicts] == [None, 9]


def test_a_used_up_budget_ends_it_and_what_was_answered_is_kept(tmp_path: Path) -> None:
    with serving(lambda _: says(VERDICT)) as server:
        with pytest.raises(DataError, match="max_requests"):
            columns(judge(tmp_path, server.url, max_requests=1, concurrency=1))
        assert columns(judge(tmp_path, server.url, max_requests=2))["judge_style"] == [0.9, 0.9]
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mode": "batch"}, r"judge\.mode=batch answers hours later"),
        ({"base_url": "ftp://x"}, r"judge\.base_url must be"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        judge(tmp_path, "http://localhost:1/v1", **changes)


def test_without_a_key_nothing_is_drawn_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda _: says(VERDICT)) as server:
        judge(tmp_path, server.url).verdicts(PICTURES, CONDITIONS)
    monkeypatch.delenv("OPENAI_API_KEY")
    known = judge(tmp_path, "http://localhost:1/v1")  # these answers may be all that is asked for
    assert known.verdicts(PICTURES, CONDITIONS)[0] is not None
    for name in ("answers.sqlite", "none.sqlite"):
        settings = replace(known.settings, cache=str(tmp_path / name))
        with pytest.raises(ConfigError, match="OPENAI_API_KEY is not set"):
            Judge(settings, "another evaluation")


def test_what_is_no_answer_is_asked_for_once_for_all_columns(tmp_path: Path) -> None:
    bad: list[str] = []

    def script(asked: Asked) -> Does:
        bad.append(asked.about)
        return says("no JSON") if asked.about == bad[0] else says(VERDICT)

    with serving(script) as server:
        found = columns(judge(tmp_path, server.url, concurrency=1))
        assert found["judge_style"] == [None, 0.9]
        assert found["judge_object"] == [None, 0.0]
        assert len(server.requests) == asking.ATTEMPTS + 1


def test_it_is_chosen_from_the_command_line_and_told_of_by_name(tmp_path: Path) -> None:
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        raw = compose("evaluate", overrides=["run=x", "measures=[judge]", "judge.model=qwen", "judge.detail=high"])
    chosen = typed(raw, EvaluationConfig).judge
    assert (chosen.model, chosen.detail, chosen.mode, chosen.max_dollars) == ("qwen", "high", "live", 100)
    columns = judged(Judge(chosen, "x"))
    assert columns.keys() == JUDGED.keys() <= SCORES.keys()
    assert {one.described()["weights"] for one in columns.values()} == {"qwen"}
    for tables in (TAKEN, LEAKED):
        assert {name for names in tables.values() for name in names if name.startswith("judge")} <= JUDGED.keys()


def test_its_library_is_not_needed_by_evaluations_that_do_not_ask_for_it() -> None:
    blocked = "import sys; sys.modules['openai'] = None; import ipai.evaluation.evaluating"
    subprocess.run([sys.executable, "-c", blocked], check=True, timeout=120)
