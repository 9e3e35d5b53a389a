"""What a prompt is about, without how it is painted: words of style, medium, artist and quality are taken out.

A prompt that says "an oil painting by Monet" fights a style image that shows something else. The lists are short on
purpose: they hold what titles of paintings and prompts of image generators say again and again.
"""

import re

from ipai.words import one_line

_MOVEMENTS = (
    r"(post-|neo-)?impressioni\w+|(abstract )?expressioni\w+|cubis\w+|(hyper|photo)?-?surreal\w+|baroque|rococo"
    r"|(hyper|photo)-?reali\w+|renaissance|romanticism|art nouveau|art deco|pop art|ukiyo-e|abstract|minimalis\w+"
    r"|fauvis\w+|pointillis\w+|symbolism|naturalism|realism|academicism|bauhaus|steampunk|cyberpunk|vaporwave"
)
_MEDIA = (
    r"(oil|acrylic|tempera|watercolou?r|gouache|ink|mixed media|pastel|pencil|charcoal|chalk)s? on "
    r"(canvas|paper|panel|wood|board|silk|linen|cardboard)"
    r"|(oil|acrylic|watercolou?r|ink|digital|matte) (painting|drawing|sketch|art|illustration)s?"
    r"|watercolou?rs?|gouache|lithographs?|etchings?|engravings?|woodcuts?|linocuts?|mosaic|fresco|anime|manga"
    r"|(digital|concept|pixel|line|vector|fan) art|(3d|octane|cgi|v-?ray|blender) renders?|unreal engine( \d)?"
    r"|octane|low poly|cinematic( lighting)?|volumetric lighting"
)
_QUALITY = (
    r"masterpiece|(best|high|highest) quality|(highly|ultra|extremely|intricately|very)[ -]detailed"
    r"|intricate( details?)?|hyper-?detailed|award[- ]winning|(ultra )?u?hdr?|[48]k( resolution)?"
    r"|sharp focus|bokeh|trending( on \w+)?|artstation|deviantart|behance"
)
_KINDS = (
    r"(painting|watercolou?r|etching|engraving|drawing|sketch|illustration|print|poster|picture|image|photo(graph)?"
    r"|render(ing)?|artwork|depiction)"
)
# In this order: a phrase goes before the words that it is made of.
_TAKEN_OUT = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"^\W*((an?|the) )?([\w-]+ ){{0,2}}{_KINDS} (of|depicting|showing)\b",
        r"\bin the (style|manner|spirit) of [^,.;|()]+",
        r"\b(inspired|influenced|painted|drawn|illustrated|photographed|created) by [^,.;|()]+",
        r"\bin (an? |the )?([\w-]+ ){1,3}style\b",
        r"\b[\w-]+[ -]style\b",
        r"\([^()]*\b(1[0-9]{3}|20[0-9]{2})\b[^()]*\)|\b(c\.|circa) ?(1[0-9]{3}|20[0-9]{2})\b",
        rf"\b(?:{_MEDIA}|{_QUALITY}|{_MOVEMENTS})\b",
    )
]
# The case of the name tells an artist from "a house by the sea".
_BY_ARTIST = re.compile(r"(?:^|(?<=[\s,;|]))[Bb]y ([A-Z][\w.'-]*)(?: (?:[A-Z][\w.'-]*|van|von|de|da|del|der|and|&))*")
_EMPTY = re.compile(r"\(\s*\)|\[\s*\]|(?<=[,;|])\s*(?=[,;|])")
# What titles are made of that name no content: "Untitled (No 8)", "Composition VII", "Opus 217", "Study for No. 3".
_EMPTY_WORDS = re.compile(
    r"\b(?:untitled|without title|sans titre|ohne titel|no title|titles?|compositions?|numbers?|no|nr|nos|opus|op"
    r"|series|study|studies|sketch(?:es)?|improvisations?|impressions?|variations?|works?|pieces?|part|plate|panel|sheet|page|fragment"
    r"|abstractions?|for|of|the|an?|and|in|[ivxlcdm]+|\d+|[a-z])\b",
    re.IGNORECASE,
)
# Of "an impressionist garden" remains "an garden".
_AN = re.compile(r"\b([Aa])n(?= [bcdfgjklmnpqrstvwxyz])")
_DANGLING = re.compile(r"(\b(an?|the|in|on|by|of|and|with|as|at)\s*)+(?=[,;|]|$)", re.IGNORECASE)


def content_words(text: str, artist: str | None = None) -> str:
    """The prompt without words of style, medium, artist and quality; empty where nothing else is left.

    For prompts of ordinary length: the time it takes grows with the square of it.

    >>> content_words("A boat on a lake, oil on canvas, by Claude Monet, 8k")
    'A boat on a lake'
    """
    left = _without_artist(one_line(text), artist)
    left = _BY_ARTIST.sub("", left)
    for pattern in _TAKEN_OUT:
        left = pattern.sub("", left)
    return _AN.sub(r"\1", _tidy(left))


def says_nothing(prompt: str) -> bool:
    """Whether a title names no content, as those of paintings without one do.

    >>> says_nothing("Untitled (No 8)"), says_nothing("Composition VII"), says_nothing("Boats No 2")
    (True, True, False)
    """
    return not _EMPTY_WORDS.sub(" ", prompt).strip(" .,;:|()[]#-\u2116'\"")


def _without_artist(text: str, artist: str | None) -> str:
    names = [artist, *artist.split()[-1:]] if artist and artist.strip() else []
    for name in names:
        if len(name) > 2:
            text = re.sub(rf"\b(by |after )?{re.escape(name)}\b", "", text, flags=re.IGNORECASE)
    return text


def _tidy(text: str) -> str:
    """Without what the taking out left: empty brackets, doubled commas, prepositions with nothing behind them."""
    before = None
    while text != before:
        before = text
        text = _DANGLING.sub("", _EMPTY.sub("", text))
        text = re.sub(r"[,;|]+(\s*[,;|])+", ",", text)
        text = re.sub(r"\s+([,;.|])", r"\1", one_line(text)).strip(" ,;.|-:")
    return text
