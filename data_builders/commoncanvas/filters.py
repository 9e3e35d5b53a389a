"""Which rows become samples. The order of the filters is fixed, because it decides every count."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from data_builders.commoncanvas.config import CatalogSource
from data_builders.commoncanvas.rows import Row
from data_builders.engine.licences import allows_derivatives, is_permissive

Test = Callable[[Row, CatalogSource], bool]


def _caption(row: Row, source: CatalogSource) -> bool:
    return 0 < len(row.prompt) <= source.max_caption


def _licence(row: Row, source: CatalogSource) -> bool:
    return is_permissive(row.licence) or source.licences == "derivatives"


# Reason, what it means, and the test that a row passes.
FILTERS: tuple[tuple[str, str, Test], ...] = (
    ("status", "the catalogue could not fetch the photograph", lambda row, _: row.fetched),
    ("photoid", "it has no Flickr id", lambda row, _: row.photo is not None),
    ("caption", "its `blip2_caption` is empty or longer than `source.max_caption` letters", _caption),
    (
        "no_derivatives",
        "its licence is not known to allow derivatives, and what is cut out or generated is one",
        lambda row, _: allows_derivatives(row.licence),
    ),
    ("licence", "`source.licences` leaves its licence out", _licence),
)
DUPLICATE = ("duplicate", "a row before it had the same Flickr id or the same SHA-256")


def passing(rows: Iterable[Row], source: CatalogSource, drops: Counter[str]) -> Iterator[Row]:
    """The rows that pass every filter; the others are counted in `drops` by reason.

    It remembers two numbers of every row that passes, to know duplicates: some 150 bytes.
    """
    photos: set[int] = set()
    contents: set[int] = set()
    for row in rows:
        reason = next((name for name, _, test in FILTERS if not test(row, source)), None)
        if reason is None:
            photo, content = int(row.photo or 0), int(row.sha256[-15:], 16) if row.sha256 else None
            reason = DUPLICATE[0] if photo in photos or content in contents else None
            photos.add(photo)
            if content is not None:
                contents.add(content)
        if reason is None:
            yield row
        else:
            drops[reason] += 1


def in_order(drops: Counter[str]) -> dict[str, int]:
    """The counts in the order of the filters, those that dropped nothing left out."""
    order = [*(name for name, _, _ in FILTERS), DUPLICATE[0]]
    return {name: drops[name] for name in order if drops[name]}
