"""The words that teach the text tower what instructions are about."""

import pytest
import torch

from ipai.instructions.pools import load_pool, normalised
from ipai.tasks import TASKS
from tools.toy_stack.clip_text import draw_sentences
from tools.toy_stack.thesaurus import around, words_about


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_words_and_none_is_a_held_out_sentence(task: str) -> None:
    words = words_about(task)
    assert len(words) > 80
    assert len(set(words)) == len(words)
    held_out = {normalised(text) for other in TASKS for text in load_pool(other, "val")}
    sentences = {text for text in held_out if len(text.split()) > 3}
    assert not sentences & {normalised(word) for word in words}


def test_what_stands_around_a_word_names_no_task() -> None:
    neutral = {word for part in around() for text in part for word in normalised(text).split()}
    assert not neutral & {"style", "object", "composition", "face", "everything"}


def test_sentences_of_all_tasks_are_drawn_and_repeat_with_their_seed() -> None:
    first, again = (draw_sentences(200, torch.Generator().manual_seed(3)) for _ in range(2))
    assert first[0] == again[0]
    assert set(first[1].tolist()) == set(range(len(TASKS)))
    assert all(sentence.strip() for sentence in first[0])
