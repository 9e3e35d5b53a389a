import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_builders.journeydb.prompts import clean, group_of

CASES = {
    "ratio": ("a red fox --ar 3:2", "a red fox"),
    "several flags": ("a red fox, snow --v 5 --q 2 --s 750 --ar 16:9", "a red fox, snow"),
    "flags in front": ("--ar 3:2 a red fox", "a red fox"),
    "flag between": ("a red fox --v 4 in the snow", "a red fox in the snow"),
    "switch": ("a red fox --tile --hd", "a red fox"),
    "no takes words": ("a red fox --no text, watermark --ar 1:1", "a red fox"),
    "no at the end": ("a red fox --ar 1:1 --no text, people", "a red fox"),
    "style takes a word": ("a red fox --style raw --niji 5", "a red fox"),
    "unknown flag": ("a red fox --foo 12", "a red fox"),
    "dash of a phone": ("a red fox \u2014ar 3:2 \u2013v 4", "a red fox"),
    "a dash of the text": ("a cat — sleeping on a sofa", "a cat — sleeping on a sofa"),
    "two hyphens of the text": ("a cat -- sleeping on a sofa", "a cat -- sleeping on a sofa"),
    "a hyphen": ("black-and-white photo, 35mm film", "black-and-white photo, 35mm film"),
    "upper case": ("a red fox --AR 3:2", "a red fox"),
    "space in a flag": ("a red fox -- ar 3 : 2", "a red fox"),
    "decimals": ("a red fox --iw 1.5 --stop 90", "a red fox"),
    "flag behind a comma": ("wide shot,--upbeta", "wide shot"),
    "flag behind a number": ("a red fox --ar 16:9--v 4", "a red fox"),
    "flag behind a word": ("a red fox--ar 16:9", "a red fox"),
    "a point before the number": ("a red fox --iw .5", "a red fox"),
    "half a dash": ("a red fox \u2013-seed 1 -\u2014v 4", "a red fox"),
    "a dash at the end": ("a red fox \u2013", "a red fox"),
    "two hyphens in a word": ("a cat--sleeping on a sofa", "a cat--sleeping on a sofa"),
    "a dash between words": ("a yes\u2013no question", "a yes\u2013no question"),
    "no behind a word": ("a red fox--no text, people --v 5", "a red fox"),
    "image address": ("https://cdn.example.com/a/b.png?x=1 a red fox", "a red fox"),
    "short address": ("<https://s.mj.run/abc> <https://s.mj.run/d> a red fox", "a red fox"),
    "weight": ("red fox::2 snow::1", "red fox, snow"),
    "weight without number": ("red fox:: snow", "red fox, snow"),
    "negative weight": ("red fox::2 people::-0.5", "red fox"),
    "a single colon": ("poster: a red fox", "poster: a red fox"),
    "trailing commas": ("a red fox, , snow,, ,", "a red fox, snow"),
    "line breaks": ("a red\nfox\t,\u0000 snow\u2028", "a red fox, snow"),
    "half a surrogate pair": ("a red fox \ud83d", "a red fox"),
    "not English": ("красная лиса, снег --v 4", "красная лиса, снег"),
    "only flags": ("--ar 3:2 --v 5", ""),
    "only an address": ("<https://s.mj.run/abc> --v 5", ""),
    "only punctuation": (" , ;|", ""),
    "nothing": ("", ""),
}


@pytest.mark.parametrize(("raw", "expected"), CASES.values(), ids=CASES)
def test_clean(raw: str, expected: str) -> None:
    assert clean(raw) == expected


@given(st.text(alphabet=st.sampled_from("ab 1.:,-—\n<>/\ud83dh"), max_size=40) | st.text(max_size=60))
def test_any_text_becomes_one_clean_line(raw: str) -> None:
    text = clean(raw)
    assert text == text.strip(" ,")
    assert text.isprintable()
    assert not text or any(letter.isalnum() for letter in text)
    assert "  " not in text
    text.encode()


def test_a_long_prompt_takes_no_time() -> None:
    raw = "--no " * 20_000 + "a :: " * 20_000 + "--ar 3:" * 20_000 + ", " * 20_000
    assert len(clean(raw)) <= len(raw)


def test_the_group_is_the_prompt_but_for_case_and_punctuation() -> None:
    assert group_of("A red fox, snow") == group_of("a red  fox snow.")
    assert group_of("a red fox") != group_of("a red dog")
    assert len(group_of("a red fox")) == 16
