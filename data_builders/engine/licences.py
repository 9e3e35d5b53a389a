"""What a licence allows. Decided by the URL, as ids and names differ between sources; without one by SPDX's name."""

import re

# In COCO: 4 (CC BY), 5 (CC BY-SA), 7 (no known copyright restrictions), 8 (United States government work).
_PERMISSIVE = re.compile(
    r"https?://(www\.)?("
    r"creativecommons\.org/(licenses/by(-sa)?|publicdomain/(zero|mark))/\d"
    r"|flickr\.com/commons/usage"
    r"|usa\.gov/(copyright|government-works))"
)
_PERMISSIVE_NAME = re.compile(r"CC0-1\.0|CC-BY(-SA)?-[1-4]\.\d|PDM-1\.0|Apache-2\.0|MIT", re.IGNORECASE)
# What a name may say against its URL; then the stricter is believed.
_RESTRICTED_NAME = re.compile(r"\bby[-_ ]?n[cd]\b|non.?commercial|no.?deriv", re.IGNORECASE)
_NO_DERIVATIVES_NAME = re.compile(r"\bby([-_ ]?nc)?[-_ ]?nd\b|no.?deriv", re.IGNORECASE)
_NON_COMMERCIAL = re.compile(r"https?://(www\.)?creativecommons\.org/licenses/by-nc(-sa)?/\d")


def is_permissive(licence: dict[str, str] | None) -> bool:
    """Whether a licence allows sharing derivatives commercially (asking for attribution or share-alike); None does not.

    >>> is_permissive({"name": "Attribution License", "url": "http://creativecommons.org/licenses/by/2.0/"})
    True
    >>> is_permissive({"name": "CC BY-NC 4.0", "url": "https://creativecommons.org/licenses/by/4.0/"})
    False
    """
    if licence is None or _RESTRICTED_NAME.search(licence.get("name") or ""):
        return False
    url = licence.get("url")
    if not url:  # several where a pair's pictures differ
        return all(_PERMISSIVE_NAME.fullmatch(name) for name in licence["name"].split(" and "))
    return _PERMISSIVE.match(url) is not None


def allows_derivatives(licence: dict[str, str] | None) -> bool:
    """Whether a licence is known to allow derivatives, if only non-commercial ones; a generated target is one."""
    if licence is None or _NO_DERIVATIVES_NAME.search(licence.get("name") or ""):
        return False
    url = licence.get("url") or ""
    return is_permissive(licence) or any(kind.match(url) for kind in (_PERMISSIVE, _NON_COMMERCIAL))
