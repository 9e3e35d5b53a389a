"""Telling a web page (an error, a quota, a login) from the file that was to be downloaded."""

import html
import re

from ipai.words import one_line

LOOKED_AT = 4096  # bytes from the beginning of a file
_PAGE = re.compile(
    r"\A\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head)\b", re.IGNORECASE | re.DOTALL
)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_LONGEST_TITLE = 100


def web_page(start: bytes) -> str | None:
    """What a file is if it begins as a web page does, for a message; None if it does not.

    >>> web_page(b"<!DOCTYPE html><html><title>Quota exceeded</title>")
    'a web page ("Quota exceeded"), not the file: the download failed'
    """
    text = start[:LOOKED_AT].decode("utf-8-sig", "replace")
    if not _PAGE.match(text):
        return None
    title = _TITLE.search(text)
    named = one_line(html.unescape(title[1]))[:_LONGEST_TITLE] if title else ""
    quoted = f' ("{named}")' if named else ""
    return f"a web page{quoted}, not the file: the download failed"
