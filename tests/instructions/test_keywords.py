"""The key-word rule: whole words, any case, plural and possessive; nothing that merely contains or resembles one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipai.errors import ConfigError
from ipai.instructions.keywords import foreign_keyword, holds_keyword
from ipai.tasks import TASKS

OTHERS = [(task, other.keyword) for task in TASKS for other in TASKS.values() if other.name != task]


@pytest.mark.parametrize(("task", "keyword"), OTHERS)
@pytest.mark.parametrize("written", ["{}", "{}s", "{}'s", "{}s'", "{}’s"])  # noqa: RUF001
def test_every_foreign_keyword_is_found(task: str, keyword: str, written: str) -> None:
    word = written.format(keyword).upper()
    assert foreign_keyword(f"Use the {word}, please.", task) == word


@pytest.mark.parametrize("task", TASKS)
def test_the_own_keyword_is_not_foreign(task: str) -> None:
    text = f"Use the {TASKS[task].keyword}."
    assert foreign_keyword(text, task) is None
    assert holds_keyword(text, task)


@pytest.mark.parametrize(
    "text",
    [
        "a stylistic match",
        "restyle it",
        "it is composed",
        "facing left",
        "the surface",
        "an objective view",
        "facial",
        "",
    ],
)
def test_words_that_share_a_stem_are_innocent(text: str) -> None:
    assert foreign_keyword(text, "copy") is None


def test_a_hyphen_ends_a_word_and_the_first_keyword_is_told() -> None:
    assert foreign_keyword("meet face-to-face in style", "copy") == "face"
    assert foreign_keyword("The STYLE of the face", "object") == "STYLE"


@given(st.sampled_from(OTHERS), st.text(), st.text())
def test_company_between_spaces_hides_no_keyword(pair: tuple[str, str], before: str, after: str) -> None:
    task, keyword = pair
    assert foreign_keyword(f"{before} {keyword} {after}", task) is not None


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(ConfigError, match="no task 'colour'"):
        foreign_keyword("text", "colour")
