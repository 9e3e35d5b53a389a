import pytest

from data_builders.instantstyle.content import content_words


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("A boat on a lake, oil on canvas, by Claude Monet, 8k", "A boat on a lake"),
        ("a castle in the style of Vincent van Gogh, trending on artstation", "a castle"),
        ("an oil painting of a horse", "a horse"),
        ("Watercolor of a cat", "a cat"),
        ("a fox in a watercolor style", "a fox"),
        ("a fox, anime style, masterpiece, best quality", "a fox"),
        ("Two women at a window by Johannes Vermeer", "Two women at a window"),
        ("a house by the sea", "a house by the sea"),
        ("a photograph of a bridge, 4k, highly detailed", "a bridge"),
        ("an impressionist garden", "a garden"),
        ("A vintage black drawing of an apple", "an apple"),
        ("Water Lilies (1906)", "Water Lilies"),
        ("The Starry Night, 1889 (c. 1889)", "The Starry Night, 1889"),
        ("abstract", ""),
        ("oil on canvas", ""),
        ("", ""),
        ("   ,,; ", ""),
        ("a dog\u202e\n on\ta mat", "a dog on a mat"),
        ("a stylish woman and realistic hopes", "a stylish woman and realistic hopes"),
        ("Мост через реку", "Мост через реку"),
    ],
)
def test_style_medium_artist_and_quality_are_taken_out(text: str, left: str) -> None:
    assert content_words(text) == left


@pytest.mark.parametrize(
    ("text", "artist", "left"),
    [
        ("Self-portrait of Rembrandt with a hat", "Rembrandt van Rijn", "Self-portrait of Rembrandt with a hat"),
        ("Portrait of a boy by paul klee", "Paul Klee", "Portrait of a boy"),
        ("Klee's garden", "Paul Klee", "'s garden"),
        ("A tree", "", "A tree"),
        ("A tree", "(.*", "A tree"),
    ],
)
def test_the_artist_of_the_row_is_taken_out(text: str, artist: str, left: str) -> None:
    assert content_words(text, artist) == left


def test_it_does_not_hang_on_hostile_text() -> None:
    for text in ("a ", "in the style of ", "by A", ", ,", "-", "(", "(1", "oil on "):
        content_words((text * 2000)[:2000])
