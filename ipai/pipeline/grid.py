"""Pictures side by side: a row for each instruction, a column for each seed, with their names."""

from collections.abc import Sequence
from functools import cache

from PIL import Image, ImageDraw, ImageFont

GAP = 4  # px between pictures
_LINE = 16  # px, height of a line of text
_FONT = 12  # px


def grid(
    rows: Sequence[Sequence[Image.Image]], names: Sequence[str] | None = None, heads: Sequence[str] | None = None
) -> Image.Image:
    """One picture of all, which have the same size.

    Args:
        rows: At least one row of at least one picture; all rows as long.
        names: Of the rows, written above each; long ones are broken into lines.
        heads: Of the columns, written above the first row.
    """
    width, height = rows[0][0].size
    total = len(rows[0]) * (width + GAP) - GAP
    texts = [_lines(name, total) for name in names or [""] * len(rows)]
    head = _LINE if heads else 0
    tall = head + sum(len(lines) * _LINE + height + GAP for lines in texts) - GAP
    sheet = Image.new("RGB", (total, tall), "white")
    pen = ImageDraw.Draw(sheet)
    for column, text in enumerate(heads or []):
        write(pen, (column * (width + GAP), 0), text, "grey")
    top = head
    for lines, row in zip(texts, rows, strict=True):
        for line in lines:
            write(pen, (0, top), line, "black")
            top += _LINE
        for column, picture in enumerate(row):
            sheet.paste(picture, (column * (width + GAP), top))
        top += height + GAP
    return sheet


def write(pen: ImageDraw.ImageDraw, place: tuple[float, float], text: str, ink: str) -> None:
    """Text in any script that a font of this machine has; a letter that none has is told by its number."""
    font = _font(text)
    drawn = "".join(letter if _has(font, letter) else f"[U+{ord(letter):04X}]" for letter in text)
    pen.text(place, drawn, ink, font)


# Pillow's own has Latin letters; the others are looked for where systems keep their fonts.
_WIDE = (
    "NotoSansCJK-Regular.ttc",
    "NotoSans-Regular.ttf",
    "DejaVuSans.ttf",
    "Arial Unicode.ttf",
    "arialuni.ttf",
    "arial.ttf",
)
_NO_LETTER = chr(0x10FFFF)


def _font(text: str) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The first that has every letter, else the one that has most of them."""
    return max(_fonts(), key=lambda font: sum(_has(font, letter) for letter in set(text)))


@cache
def _fonts() -> tuple[ImageFont.FreeTypeFont | ImageFont.ImageFont, ...]:
    found: list[ImageFont.FreeTypeFont | ImageFont.ImageFont] = [ImageFont.load_default(_FONT)]
    for name in _WIDE:
        try:
            found.append(ImageFont.truetype(name, _FONT))
        except OSError:
            continue
    return tuple(found)


@cache
def _has(font: ImageFont.FreeTypeFont | ImageFont.ImageFont, letter: str) -> bool:
    """Whether a font draws a letter otherwise than one that does not exist."""
    return letter.isspace() or bytes(font.getmask(letter)) != bytes(font.getmask(_NO_LETTER))


def _lines(text: str, width: int) -> list[str]:
    """Words in lines of at most `width` pixels; a word that is longer stands alone."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _font(text).getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
