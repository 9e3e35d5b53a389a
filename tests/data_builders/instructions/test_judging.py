"""Which of a model's lines become instructions, as a table."""

import pytest

from data_builders.instructions.judging import Collection
from data_builders.instructions.prompts import paper_prompt
from ipai.tasks import TASKS

# Task, line, and what becomes of it: the instruction, or in capitals why it is left out.
LINES = [
    ("style", "Take the style.", "Take the style."),
    ("style", '1. "Take the style."', "Take the style."),
    ("style", "- Take the  style\n of this ", "Take the style of this"),
    ("style", "“Use its look”", "Use its look"),
    ("style", 'Say "style" and take it', 'Say "style" and take it'),
    ("style", "", "EMPTY"),
    ("style", " \n\t", "EMPTY"),
    ("style", "...!", "EMPTY"),
    ("style", "word " * 21, "TOO_LONG"),
    ("style", "w" * 500, "TOO_LONG"),
    ("style", "# Take the style", "CHARACTERS"),
    ("style", "Take the {style}", "CHARACTERS"),
    ("style", "Take the style \ufffd", "CHARACTERS"),
    ("style", "I'm sorry, I can't help with that.", "REFUSAL"),
    ("style", "Take the Objects' style", "KEY_WORD"),
    ("style", "Take the style of the face", "KEY_WORD"),
    ("style", "Take EVERYTHING", "KEY_WORD"),
    ("copy", "Take everything", "Take everything"),
    ("copy", "Take the composition", "KEY_WORD"),
    ("face", "Keep who this is", "Keep who this is"),
    ("object", "Take the object.", "Take the {object}."),
    ("object", "Take an Object and its object's colours", "Take an {object} and its {object}'s colours"),
    ("object", "Take the {object}.", "Take the {object}."),
    ("object", "Take the objects.", "PLURAL"),
    ("object", "Take the object and the objects.", "PLURAL"),
    ("object", "Take the thing.", "NO_SLOT"),
    ("object", "Take the object {name}.", "CHARACTERS"),
    ("object", "Take the object's style", "KEY_WORD"),
]


@pytest.mark.parametrize(("task", "line", "becomes"), LINES)
def test_one_line(task: str, line: str, becomes: str) -> None:
    collection = Collection(task, max_words=20, max_overlap=0.8)
    collection.add(line)
    if becomes.isupper():
        assert (collection.lines, dict(collection.dropped)) == ([], {becomes.lower(): 1})
    else:
        assert (collection.lines, dict(collection.dropped)) == ([becomes], {})


def test_repetitions_are_left_out_however_they_are_written() -> None:
    collection = Collection("style", max_words=20, max_overlap=0.8)
    for line in (
        "Please take only the style of this image for me",
        "please take only the STYLE, of this image for me!",
        "Please take only the style of this image for us me",
        "Take the style of another one",
    ):
        collection.add(line)
    assert len(collection.lines) == 2
    assert dict(collection.dropped) == {"duplicate": 1, "near_duplicate": 1}


def test_the_prompts_are_the_paper_s() -> None:
    assert {task: paper_prompt(task) for task in TASKS} == {
        "copy": "Generate ways to describe taking everything from an image of varying lengths, do not use the words "
        "style, object, composition, face",
        "style": "Generate ways to describe taking the style from an image of varying lengths, do not use the words "
        "everything, object, composition, face",
        "object": "Generate ways to describe taking an object from an image of varying lengths, do not use the words "
        "everything, style, composition, face",
        "structure": "Generate ways to describe taking the composition from an image of varying lengths, do not use "
        "the words everything, style, object, face",
        "face": "Generate ways to describe taking the face or identity from an image of varying lengths, do not use "
        "the words everything, style, object, composition",
    }
