"""What becomes of a question when the server misbehaves, and that nothing is paid twice."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ipai.errors import ConfigError, DataError
from ipai.llm.asking import Tally
from ipai.llm.cache import AnswerCache, Spent
from tests.helpers.asked import answer_to, ask, model_at
from tests.helpers.building import ROOT
from tests.helpers.model_server import KEY, Does, Script, fails, says, serving

GOOD = says({"word": "yes"})


def first(*does: Does) -> Script:
    """Do these one after the other to each question, then answer well."""
    return lambda asked: does[asked.before] if asked.before < len(does) else GOOD


def spent(folder: Path, scope: str = "here") -> Spent:
    cache = AnswerCache(folder / "answers.sqlite")
    found = cache.spent(scope)
    cache.close()
    return found


# What the server does to a question, then: its outcome, how many requests it takes, how many of them are paid.
CASES: dict[str, tuple[Script, str, int, int]] = {
    "a good answer": (first(), "text", 1, 1),
    "429 with retry-after": (first(fails(429, retry_after="0.2")), "text", 2, 1),
    "429 with retry-after-ms": (first(fails(429, retry_after_ms="20")), "text", 2, 1),
    "500 five times": (first(*[fails(500)] * 5), "text", 6, 1),
    "503 with a page of HTML": (first(Does(503, b"<html>busy</html>", {"content-type": "text/html"})), "text", 2, 1),
    "409 then good": (first(fails(409)), "text", 2, 1),
    "a dropped connection": (first(Does(drops=True)), "text", 2, 1),
    "five dropped connections": (first(*[Does(drops=True)] * 5), "text", 6, 1),
    "a slow answer, in time": (first(Does(body=GOOD.body, wait=0.4)), "text", 1, 1),
    "invalid JSON": (first(Does(body=b'{"choices": [{')), "text", 2, 2),
    "HTML with status 200": (first(Does(body=b"<html>", headers={"content-type": "text/html"})), "text", 2, 2),
    "an empty body": (first(Does(body=b"")), "text", 2, 2),
    "JSON that is no object": (first(Does(body=b"[1]")), "text", 2, 2),
    "no choices": (first(Does(body={"choices": []})), "text", 2, 2),
    "choices that are text": (first(Does(body={"choices": "x"})), "text", 2, 2),
    "a message without content": (first(says(None)), "text", 2, 2),
    "an answer that is not JSON": (first(says("yes!")), "text", 2, 2),
    "an answer that lacks a field": (first(says({})), "text", 2, 2),
    "an answer with a field too many": (first(says({"word": "yes", "more": 1})), "text", 2, 2),
    "an answer of another type": (first(says({"word": 7})), "text", 2, 2),
    "an answer that was cut off": (first(says('{"word": "y', finish="length")), "text", 2, 2),
    "an answer that breaks a rule": (first(says({"word": "bad"})), "text", 2, 2),
    "answers that break it twice": (first(*[says({"word": "bad"})] * 2), "unusable", 2, 2),
    "thoughts before the answer": (first(says('<think>a {"word": "no"}?</think>\n{"word": "yes"}')), "text", 1, 1),
    "thoughts that nothing opens": (first(says('a word...\n</think>{"word": "yes"}')), "text", 1, 1),
    "an answer in a fence": (first(says('```json\n{"word": "yes"}\n```')), "text", 1, 1),
    "thoughts and a fence": (first(says('<think>hm</think>\n\n```\n{"word": "yes"}\n```\n')), "text", 1, 1),
    "words around the answer": (first(says('Here it is: {"word": "yes"}. Anything else?')), "text", 1, 1),
    "an answer in parts": (
        first(says([{"type": "thinking", "thinking": []}, {"type": "text", "text": '{"word": "yes"}'}], raw=True)),
        "text",
        1,
        1,
    ),
    "thoughts alone": (first(says(None, reasoning_content="a word...")), "text", 2, 2),
    "an answer that repeats the key": (first(says({"word": KEY})), "text", 2, 2),
    "a refusal": (first(says(None, refusal="I will not.")), "refused", 1, 1),
    "a refusal in prose": (first(says({"word": "no"})), "refused", 1, 1),
    "a content filter": (first(says(None, finish="content_filter")), "refused", 1, 1),
    "a policy error": (first(fails(400, "against policy", "content_policy_violation")), "refused", 1, 1),
    "usage that is not stated": (first(says({"word": "yes"}, usage="none")), "text", 1, 1),
    "usage that is nonsense": (first(says({"word": "yes"}, usage={"prompt_tokens": -5})), "text", 1, 1),
}


@pytest.mark.parametrize("case", CASES)
def test_each_misbehaviour_has_its_outcome_and_is_never_asked_again(tmp_path: Path, case: str) -> None:
    script, outcome, requests, paid = CASES[case]
    with serving(script) as server:
        model = model_at(server.url, tmp_path)
        tally = ask(["q"], model)
        assert dict(tally.outcomes) == {outcome: 1}
        assert sum(tally.faults.values()) == paid - (outcome != "unusable")
        assert dict(server.counts) == {"q": requests}
        again = ask(["q"], model)
        assert (again.cached, again.outcomes.total()) == (1, 0)
        assert dict(server.counts) == {"q": requests}
    answer = answer_to("q", tmp_path)
    assert answer is not None
    assert answer.outcome == outcome
    assert spent(tmp_path).requests == paid


# What the server does to every question, and what the error must say.
ENDS = {
    "a wrong key": (fails(401, f"Incorrect API key provided: {KEY}"), "refuses the key in OPENAI_API_KEY"),
    "a key without rights": (fails(403, f"{KEY} may not"), "refuses the key in OPENAI_API_KEY"),
    "an unknown model": (
        fails(404, f"no such model for {KEY}"),
        r"status 404\): Error code: 404 - no such model for \*\*\*",
    ),
    "a bad request": (fails(400, "temperature"), r"status 400\): Error code: 400 - temperature\. Check model"),
    "used-up quota": (fails(429, "You exceeded your quota", "insufficient_quota"), "You exceeded your quota"),
    "a server that stays down": (fails(500), "patience=0.3 s.*are left for the same command"),
    "a long rate limit": (fails(429, retry_after="1000"), "rate of requests.*patience=0.3 s"),
    "connections that all drop": (Does(drops=True), "Connection error.*patience=0.3 s"),
    "answers that never come in time": (Does(body=GOOD.body, wait=0.7), "timed out.*patience=0.3 s"),
    "answers a byte at a time": (Does(body=GOOD.body, drips=0.05), "timed out.*patience=0.3 s"),
}


@pytest.mark.parametrize("case", ENDS)
def test_what_cannot_work_ends_soon_and_keeps_what_was_answered(tmp_path: Path, case: str) -> None:
    does, message = ENDS[case]
    with serving(lambda asked: GOOD if asked.about == "first" else does) as server:
        model = model_at(server.url, tmp_path, patience=0.3, timeout=0.3)
        ask(["first"], model)
        with pytest.raises(DataError, match=message) as caught:
            ask(["first", *"abcdef"], model)
        assert KEY not in str(caught.value)
        server.script = first()
        tally = ask(["first", *"abcdef"], model_at(server.url, tmp_path))
    assert (tally.cached, dict(tally.outcomes)) == (1, {"text": 6})


def test_the_server_s_wait_is_obeyed(tmp_path: Path) -> None:
    """By the SDK, and for all workers together once that has given up."""
    with serving(lambda _: fails(429, retry_after="0.2") if server.counts.total() <= 3 else GOOD) as server:
        start = time.monotonic()
        ask(["q"], model_at(server.url, tmp_path))
        assert time.monotonic() - start >= 0.6
        assert server.counts["q"] == 4


def test_nothing_listens(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Connection error.*patience=0\.2 s"):
        ask(["q"], model_at("http://127.0.0.1:9/v1", tmp_path, patience=0.2))


def test_equal_questions_are_asked_once_and_no_more_at_once_than_allowed(tmp_path: Path) -> None:
    with serving(lambda _: Does(body=GOOD.body, wait=0.05)) as server:
        tally = ask([f"q{n % 10}" for n in range(40)], model_at(server.url, tmp_path, concurrency=3))
        assert set(server.counts.values()) == {1}
        assert len(server.counts) == 10
        assert server.most_together == 3
    assert (tally.outcomes["text"], tally.cached) == (10, 30)


def test_a_bad_answer_is_held_against_the_model(tmp_path: Path) -> None:
    with serving(first(says({"word": "bad"}))) as server:
        ask(["q"], model_at(server.url, tmp_path))
        parts = server.requests[1]["messages"][0]["content"]
    question, remark = (part["text"] for part in parts)
    assert question == "q"
    assert "it is bad" in remark


def test_the_request_asks_for_the_form(tmp_path: Path) -> None:
    with serving(first()) as server:
        ask(["q"], model_at(server.url, tmp_path, temperature=0.5, max_tokens=77))
        (body,) = server.requests
    assert (body["model"], body["temperature"], body["max_completion_tokens"]) == ("gpt-4o", 0.5, 77)
    schema = body["response_format"]["json_schema"]
    assert (schema["strict"], schema["schema"]["required"]) == (True, ["word"])


def test_the_budget_of_dollars_counts_over_starts(tmp_path: Path) -> None:
    """An answer costs 300 x $1 + 20 x $10 a million, $0.0005; the worst case of one is 300 and 50 tokens, $0.0008."""
    with serving(first()) as server:
        model = model_at(server.url, tmp_path, concurrency=1, max_tokens=50, max_dollars=0.0024)
        model.price.input, model.price.output, model.expected.input = 1.0, 10.0, 300
        for start in range(2):
            with pytest.raises(DataError, match=r"budget.*\$0\.0020 of max_dollars=0\.0024.*at most 6 are left"):
                ask([f"q{n}" for n in range(10)], model)
            assert server.counts.total() == 4, f"start {start}"
        assert spent(tmp_path) == Spent(4, pytest.approx(0.002))
        model.max_dollars = 1.0
        ask([f"q{n}" for n in range(10)], model)
        assert set(server.counts.values()) == {1}
    assert spent(tmp_path, "another output") == Spent(0, 0.0)


def test_the_budget_of_requests_is_never_exceeded(tmp_path: Path) -> None:
    with serving(first(says({"word": "bad"}))) as server:
        with pytest.raises(DataError, match="5 answers of max_requests=5"):
            ask([f"q{n}" for n in range(10)], model_at(server.url, tmp_path, max_requests=5, concurrency=8))
        assert server.counts.total() == 5
        with pytest.raises(DataError, match="0 answers of max_requests=0"):
            ask(["new"], model_at(server.url, tmp_path, max_requests=0), scope="another output")


def test_a_bad_answer_counts_after_a_restart_too(tmp_path: Path) -> None:
    with serving(lambda _: says({"word": "bad"})) as server:
        with pytest.raises(DataError, match="max_requests=1"):
            ask(["q"], model_at(server.url, tmp_path, max_requests=1))
        tally = ask(["q"], model_at(server.url, tmp_path))
        assert server.counts["q"] == 2
    assert tally.outcomes == {"unusable": 1}


def test_without_a_key_only_what_is_known_can_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(first()) as server:
        model = model_at(server.url, tmp_path)
        ask(["known"], model)
        monkeypatch.delenv("OPENAI_API_KEY")
        assert ask(["known"], model).cached == 1
        with pytest.raises(ConfigError, match="OPENAI_API_KEY is not set"):
            ask(["known", "new"], model)
        monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n{KEY}")
        with pytest.raises(ConfigError, match="is not a key") as caught:
            ask(["new"], model)
    assert KEY not in str(caught.value)


def test_an_interrupt_keeps_the_answers_that_are_on_their_way(tmp_path: Path) -> None:
    with serving(lambda _: Does(body=GOOD.body, wait=0.5)) as server:

        def interrupt() -> None:
            while server.counts.total() < 4:
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            ask([f"q{n}" for n in range(10)], model_at(server.url, tmp_path))
        assert server.counts.total() == 4
        tally = ask([f"q{n}" for n in range(10)], model_at(server.url, tmp_path))
        assert set(server.counts.values()) == {1}
    assert (tally.cached, tally.outcomes["text"]) == (4, 6)


_ASKER = """
import sys
from pathlib import Path
from tests.helpers.asked import ask, model_at
ask([f"q{n}" for n in range(60)], model_at(sys.argv[1], Path(sys.argv[2])))
"""


def asker(url: str, folder: Path) -> subprocess.Popen[bytes]:
    """Another process that asks sixty questions."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", _ASKER, url, str(folder)], env=environment)


def test_killed_in_the_middle_no_answer_that_arrived_is_asked_for_again(tmp_path: Path) -> None:
    with serving(lambda _: Does(body=GOOD.body, wait=0.02)) as server:
        for asked_by_then in (10, 30, 50):
            victim = asker(server.url, tmp_path)
            while server.counts.total() < asked_by_then and victim.poll() is None:
                time.sleep(0.002)
            victim.kill()
            victim.wait()
        tally = ask([f"q{n}" for n in range(60)], model_at(server.url, tmp_path))
        assert len(server.counts) == 60
        # At each kill at most the four requests that were under way had not been answered to anyone.
        assert server.counts.total() <= 60 + 3 * 4
    assert tally.cached >= 50 - 3 * 4


def test_two_processes_share_the_work_and_ask_nothing_twice(tmp_path: Path) -> None:
    with serving(lambda _: Does(body=GOOD.body, wait=0.02)) as server:
        both = [asker(server.url, tmp_path) for _ in range(2)]
        assert [process.wait(60) for process in both] == [0, 0]
        assert set(server.counts.values()) == {1}
        assert len(server.counts) == 60
    assert spent(tmp_path).requests == 60


def test_the_key_is_in_no_file(tmp_path: Path) -> None:
    with serving(
        first(fails(429, f"{KEY} is too fast", retry_after_ms="1"), says(None, refusal=f"no {KEY}"))
    ) as server:
        ask(["q"], model_at(server.url, tmp_path))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not a database, but long enough to be taken for one" * 40, "is damaged.*recover"),
        (None, "cannot use the answers"),
    ],
)
def test_a_cache_that_cannot_be_used_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "answers.sqlite"
    path.mkdir() if content is None else path.write_bytes(content)
    with serving(first()) as server, pytest.raises(DataError, match=message):
        ask(["q"], model_at(server.url, tmp_path))
    assert not server.counts


def test_a_cache_of_another_layout_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "answers.sqlite") as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(DataError, match="another version"):
        AnswerCache(tmp_path / "answers.sqlite")


CUT = says('{"word": "a long sto', finish="length")
# What settings or servers cause, the fault that is named, and what the message quotes of it.
CAUSED = {
    "answers that max_tokens cuts": (CUT, r"it was cut off at the longest length \(max_tokens\) \d+", "a long sto"),
    "thoughts alone": (says(None, reasoning_content="let me see"), r"it holds no text \d+", "let me see"),
    "prose": (says("Certainly! The word is yes."), r"it has not the form that was asked for \d+", "Certainly!"),
    "a page of HTML": (Does(body=b"<html>login</html>"), r"is not a JSON object \d+", "<html>login"),
    "nonsense in the right form": (says({"word": "bad"}), r"it is bad \d+", "bad"),
}


@pytest.mark.parametrize("case", CAUSED)
def test_what_settings_or_servers_cause_stops_soon_and_is_asked_again_when_mended(tmp_path: Path, case: str) -> None:
    does, fault, quote = CAUSED[case]
    texts = [f"q{n}" for n in range(350)]
    with serving(lambda _: does) as server:
        model = model_at(server.url, tmp_path)
        with pytest.raises(DataError, match=rf"(?s)of \d+ questions to gpt-4o came to nothing.*{fault}.*{quote}"):
            ask(texts, model)
        assert server.counts.total() <= 2 * (10 + 2 * model.concurrency)
        server.script = first()
        tally = ask(texts, model)
    assert dict(tally.outcomes) == {"text": 350}


def test_a_server_that_breaks_later_stops_too(tmp_path: Path) -> None:
    with serving(lambda asked: GOOD if int(asked.about) < 20 else CUT) as server:
        with pytest.raises(DataError, match="came to nothing"):
            ask(map(str, range(400)), model_at(server.url, tmp_path))
        assert server.counts.total() < 100


def test_a_few_failures_are_counted_and_the_rest_is_kept(tmp_path: Path) -> None:
    texts = [f"q{n}" for n in range(20)]
    with serving(lambda asked: CUT if asked.about == "q3" else GOOD) as server:
        model = model_at(server.url, tmp_path)
        for start in range(2):  # a failure is no answer, so each start asks again
            tally = ask([*texts, "q3"], model)
            assert tally.outcomes["failed"] == 1
            assert server.counts["q3"] == 2 * (start + 1)
        server.script = first()
        assert dict(ask(texts, model).outcomes) == {"text": 1}
    assert answer_to("q3", tmp_path) is not None


def test_too_many_failures_make_no_data_set(tmp_path: Path) -> None:
    with serving(lambda asked: CUT if asked.about in "abc" else GOOD) as server:
        with pytest.raises(DataError, match="3 of 9 questions"):
            ask("abcdefghi", model_at(server.url, tmp_path))
        server.script = first()
        tally = ask("abcdefghi", model_at(server.url, tmp_path))
    assert (tally.cached, dict(tally.outcomes)) == (6, {"text": 3})


@pytest.mark.parametrize("key", ["x", "e", "local", "none", "EMPTY"])
def test_a_word_in_place_of_a_key_leaves_the_answers_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    word = f"a red fox next to {key}"
    with serving(lambda _: says({"word": word})) as server:
        ask(["q"], model_at(server.url, tmp_path))
        answer = answer_to("q", tmp_path)
        assert answer is not None
        assert answer.content == f'{{"word":"{word}"}}'
        server.script = lambda _: fails(400, f"{key} is no good")
        with pytest.raises(DataError, match=f"{key} is no good"):
            ask(["r"], model_at(server.url, tmp_path))


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_request_follows_to_another_address(tmp_path: Path, status: int) -> None:
    with serving(first()) as elsewhere, serving(lambda _: Does(status, b"", {"location": elsewhere.url})) as server:
        with pytest.raises(DataError, match=r"sends requests on to another address .*as base_url"):
            ask(["q"], model_at(server.url, tmp_path))
        assert not elsewhere.counts


def test_what_layout_1_kept_wrongly_is_asked_again(tmp_path: Path) -> None:
    with serving(first()) as server:
        ask("abcd", model_at(server.url, tmp_path))
        with sqlite3.connect(tmp_path / "answers.sqlite") as database:
            keys = [key for (key,) in database.execute("SELECT key FROM answers ORDER BY key")]
            was = [("unusable", "it was cut off at the longest length"), ("text", '{"word":"fo*** ne***t"}')]
            was += [("unusable", "it is bad")]
            rows = [(*pair, key) for pair, key in zip(was, keys, strict=False)]
            database.executemany("UPDATE answers SET outcome = ?, content = ? WHERE key = ?", rows)
            database.execute("UPDATE payments SET fault = ? WHERE key = ?", (was[0][1], keys[0]))
            database.execute("PRAGMA user_version = 1")
        cache = AnswerCache(tmp_path / "answers.sqlite")
        assert [cache.answer(key) is None for key in keys] == [True, True, False, False]
        assert (cache.faults(keys[0]), cache.failures(keys[0])) == ([], 1)
        cache.close()
        assert ask("abcd", model_at(server.url, tmp_path)).cached == 2


def test_a_tally_says_what_failed() -> None:
    tally = Tally()
    tally.outcomes.update({"text": 8, "failed": 1, "refused": 1})
    assert tally.cautions == "1 failed, 1 refused"
    assert tally.settled == 9
