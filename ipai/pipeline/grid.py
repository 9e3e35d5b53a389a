"""Pictures side by side: a row for each instruction, a column for each seed, with their names."""

from collections.abc import Sequence

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
        pen.text((column * (width + GAP), 0), text, "grey", _font())
    top = head
    for lines, row in zip(texts, rows, strict=True):
        for line in lines:
            pen.text((0, top), line, "black", _font())
            top += _LINE
        for column, picture in enumerate(row):
            sheet.paste(picture, (column * (width + GAP), top))
        top += height + GAP
    return sheet


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_FONT)


def _lines(text: str, width: int) -> list[str]:
    """Words in lines of at most `width` pixels; a word that is longer stands alone."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _font().getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
