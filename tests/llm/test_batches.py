"""The Batch API: handed in once, collected by a later start, whatever happens in between."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from ipai.errors import DataError
from ipai.llm import batch_files
from ipai.llm.asking import Tally
from ipai.llm.batches import ask_in_batches
from ipai.llm.cache import AnswerCache
from tests.helpers.asked import answer_to, ask, model_at, question
from tests.helpers.model_server import KEY, Asked, Does, ModelServer, fails, says, serving

GOOD = says({"word": "yes"})
FIVE = "abcde"


def in_batches(texts: Iterable[str], server: ModelServer, folder: Path, **settings: Any) -> Tally:
    tally = Tally()
    known = list(texts)
    model = model_at(server.url, folder, mode="batch", **settings)
    ask_in_batches(map(question, known), len(known), model, "here", tally, lambda _: None)
    return tally


def handed_in(texts: Iterable[str], server: ModelServer, folder: Path, **settings: Any) -> None:
    with pytest.raises(DataError, match="Repeat the command later to collect"):
        in_batches(texts, server, folder, **settings)


def test_handed_in_once_and_collected_later_at_half_the_price(tmp_path: Path) -> None:
    with serving(lambda _: GOOD) as server:
        for _ in range(2):
            handed_in([*FIVE, "a"], server, tmp_path)
            assert len(server.batches) == 1
        server.finish()
        tally = in_batches(FIVE, server, tmp_path)
        assert dict(tally.outcomes) == {"text": 5}
        assert tally.dollars == pytest.approx(5 * (300 * 2.5 + 20 * 10) / 1e6 / 2)
        assert set(server.counts.values()) == {1}
        assert in_batches(FIVE, server, tmp_path).cached == 5
        assert ask(FIVE, model_at(server.url, tmp_path)).cached == 5
        assert len(server.batches) == 1
    assert KEY.encode() not in (tmp_path / "answers.sqlite").read_bytes()


def test_bad_answers_refusals_and_errors_have_their_outcome(tmp_path: Path) -> None:
    does = {
        "good": GOOD,
        "bad": says({"word": "bad"}),
        "refused": says(None, refusal="no"),
        "policy": fails(400, "no", "content_policy_violation"),
        "error": fails(500, "no", "server_error"),
    }

    def script(asked: Asked) -> Does:
        return does[asked.about]

    with serving(script) as server:
        handed_in(does, server, tmp_path)
        server.finish()
        handed_in(does, server, tmp_path)  # the bad one and the error once more
        assert [len(server.files[batch["input_file_id"]].splitlines()) for batch in server.batches.values()] == [5, 2]
        server.finish()
        tally = in_batches(does, server, tmp_path)
        assert dict(server.counts) == {"good": 1, "bad": 2, "refused": 1, "policy": 1, "error": 2}
    assert tally.cached + tally.outcomes.total() == 5
    outcomes = {text: answer.outcome for text in does if (answer := answer_to(text, tmp_path))}
    assert outcomes == {
        "good": "text",
        "bad": "unusable",
        "refused": "refused",
        "policy": "refused",
    }


def test_what_expired_is_handed_in_again_and_not_held_against_it(tmp_path: Path) -> None:
    with serving(lambda _: GOOD) as server:
        for _ in range(3):
            handed_in(FIVE, server, tmp_path)
            server.finish("expired", leave_out=range(1, 9))
        handed_in(FIVE, server, tmp_path)
        server.finish()
        in_batches(FIVE, server, tmp_path)
        assert dict(server.counts) == dict.fromkeys(FIVE, 1)


def test_a_batch_that_fails_is_told_and_handed_in_by_the_next_start(tmp_path: Path) -> None:
    with serving(lambda _: GOOD) as server:
        handed_in(FIVE, server, tmp_path)
        failed = {"data": [{"code": "token_limit_exceeded", "message": f"Enqueued token limit reached for {KEY}"}]}
        server.batches["batch-0"].update(status="failed", errors=failed)
        with pytest.raises(DataError, match=r"Enqueued token limit reached for \*\*\*"):
            in_batches(FIVE, server, tmp_path)
        handed_in(FIVE, server, tmp_path)
        server.finish()
        assert in_batches(FIVE, server, tmp_path).outcomes["text"] == 5


def test_a_batch_whose_name_never_arrived_is_found_at_the_server(tmp_path: Path) -> None:
    with serving(lambda _: GOOD) as server:
        server.drops_batches = True
        with pytest.raises(DataError, match="does not answer"):
            in_batches(FIVE, server, tmp_path)
        server.drops_batches = False
        handed_in(FIVE, server, tmp_path)
        assert len(server.batches) == 1
        server.finish()
        assert in_batches(FIVE, server, tmp_path).outcomes["text"] == 5


def test_files_are_cut_at_the_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_files, "MOST_REQUESTS", 2)
    with serving(lambda _: GOOD) as server:
        handed_in(FIVE, server, tmp_path)
        assert [len(server.files[batch["input_file_id"]].splitlines()) for batch in server.batches.values()] == [
            2,
            2,
            1,
        ]
        monkeypatch.setattr(batch_files, "MOST_BYTES", 10)
        handed_in([*FIVE, "f", "g"], server, tmp_path)
        assert len(server.batches) == 5
        server.finish()
        assert in_batches([*FIVE, "f", "g"], server, tmp_path).outcomes["text"] == 7


def test_the_budget_counts_what_is_in_batches(tmp_path: Path) -> None:
    with serving(lambda _: GOOD) as server:
        handed_in(FIVE, server, tmp_path, max_requests=3)
        handed_in(FIVE, server, tmp_path, max_requests=3)
        assert len(server.batches) == 1
        server.finish()
        with pytest.raises(DataError, match="3 answers of max_requests=3"):
            in_batches(FIVE, server, tmp_path, max_requests=3)
        handed_in(FIVE, server, tmp_path, max_requests=5)
        server.finish()
        assert in_batches(FIVE, server, tmp_path).cached == 3


def test_foreign_and_broken_lines_of_a_result_are_left_out(tmp_path: Path) -> None:
    with serving(lambda _: GOOD) as server:
        handed_in("a", server, tmp_path)
        server.finish()
        name = server.batches["batch-0"]["output_file_id"]
        server.files[name] = 'no json\n[1]\n{"custom_id": 7}\n{"custom_id": "foreign"}\n' + server.files[name]
        assert in_batches("a", server, tmp_path).outcomes["text"] == 1


def test_live_asking_refuses_while_batches_are_open(tmp_path: Path) -> None:
    with serving(lambda _: GOOD) as server:
        handed_in(FIVE, server, tmp_path)
        with pytest.raises(DataError, match="collect them first"):
            ask(FIVE, model_at(server.url, tmp_path))
        assert not server.counts


def test_a_server_that_refuses_loses_nothing(tmp_path: Path) -> None:
    with serving(lambda _: GOOD) as server:
        handed_in(FIVE, server, tmp_path)
        real = server.batches
        server.batches = {}  # as if it did not know the batch: the handler fails and drops the connection
        with pytest.raises(DataError, match="does not answer"):
            in_batches(FIVE, server, tmp_path)
        server.batches = real
        server.finish()
        assert in_batches(FIVE, server, tmp_path).outcomes["text"] == 5
    cache = AnswerCache(tmp_path / "answers.sqlite")
    assert cache.spent("here").requests == 5


def test_what_settings_cause_hands_nothing_in_again_until_the_next_start(tmp_path: Path) -> None:
    texts = [f"q{number}" for number in range(12)]
    cut = says('{"word": "a long sto', finish="length")
    with serving(lambda _: cut) as server:
        for _ in range(2):  # each question once more
            handed_in(texts, server, tmp_path)
            server.finish()
        with pytest.raises(DataError, match=r"12 of 12 questions to gpt-4o came to nothing.*cut off.*a long sto"):
            in_batches(texts, server, tmp_path)
        assert len(server.batches) == 2
        server.script = lambda _: GOOD
        handed_in(texts, server, tmp_path)
        server.finish()
        assert dict(in_batches(texts, server, tmp_path).outcomes) == {"text": 12}


def test_a_few_failures_of_a_batch_are_counted_and_the_rest_is_kept(tmp_path: Path) -> None:
    texts = [f"q{number}" for number in range(12)]
    with serving(lambda asked: says(None) if asked.about == "q3" else GOOD) as server:
        for _ in range(2):
            handed_in(texts, server, tmp_path)
            server.finish()
        tally = in_batches(texts, server, tmp_path)
        assert (tally.cached, dict(tally.outcomes)) == (11, {"failed": 1})
    assert answer_to("q3", tmp_path) is None
