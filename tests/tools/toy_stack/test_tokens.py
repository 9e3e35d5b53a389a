"""One vocabulary in two libraries' forms."""

from pathlib import Path

import pytest
from open_clip import SimpleTokenizer
from transformers import CLIPTokenizer

from tools.toy_stack.tokens import clip_tokenizer, learn_merges, write_open_clip_merges


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[SimpleTokenizer, CLIPTokenizer]:
    path = write_open_clip_merges(learn_merges(), tmp_path_factory.mktemp("merges"))
    tokenizer = SimpleTokenizer(bpe_path=str(path))
    return tokenizer, clip_tokenizer(tokenizer, 77)


@pytest.mark.parametrize(
    "text",
    [
        "a portrait of a smiling person in the snow",
        "use the style of this image, please!",
        "Wörter, die niemand kennt: 12 xylophones' <b>",
        "",
    ],
)
def test_both_forms_give_the_same_numbers(both: tuple[SimpleTokenizer, CLIPTokenizer], text: str) -> None:
    ours, theirs = both
    assert theirs(text).input_ids == [ours.sot_token_id, *ours.encode(text), ours.eot_token_id]


def test_words_of_captions_and_instructions_are_whole(both: tuple[SimpleTokenizer, CLIPTokenizer]) -> None:
    for word in ("composition", "style", "watercolour", "face", "triangle", "everything"):
        assert len(both[0].encode(word)) == 1


def test_learning_twice_gives_the_same_pieces() -> None:
    assert set(learn_merges()) == set(learn_merges())


def test_writing_is_deterministic(tmp_path: Path) -> None:
    merges = learn_merges()
    paths = [write_open_clip_merges(merges, tmp_path / name) for name in "ab"]
    assert paths[0].read_bytes() == paths[1].read_bytes()
