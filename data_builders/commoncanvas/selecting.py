"""What both builders of CommonCatalog begin with: rows that pass, as records."""

from collections import Counter
from collections.abc import Iterator

from data_builders.commoncanvas.config import CatalogSource
from data_builders.commoncanvas.filters import in_order, passing
from data_builders.commoncanvas.rows import Row, files_of, rows_of
from data_builders.engine.config import BuildConfig
from data_builders.engine.plan import within_limit
from data_builders.engine.records import Locality, Record, Selection


def selected(source: CatalogSource, config: BuildConfig) -> Selection:
    """Filter the rows; see `filters`. It holds no more records than `limit`.

    Raises:
        DataError: The source is missing or damaged.
    """
    drops = Counter[str]()
    files = files_of(source)
    passed = 0

    def records() -> Iterator[Record]:
        nonlocal passed
        for row in passing(rows_of(source, files), source, drops):
            passed += 1
            yield _record(row)

    chosen = within_limit(records(), config)
    return Selection(
        records=chosen,
        considered=passed + drops.total(),
        drops=in_order(drops),
        facts={"files": len(files)},
        not_drawn=passed - len(chosen),
        # A row group is read from its beginning, so its records share a shard; a thin draw has one of each.
        locality=Locality("place", most=config.shard_size),
    )


def _record(row: Row) -> Record:
    assert row.photo is not None  # the filters saw to it
    source = {
        "dataset": "commoncatalog",
        "id": row.photo,
        "licence": row.licence,
        "attribution": row.attribution,
    }
    fields = {"place": row.place, "row": row.row, "prompt": row.prompt, "source": source}
    return Record(f"flickr-{row.photo}", row.photo, fields)
