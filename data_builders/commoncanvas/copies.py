"""The builder of task `copy` from CommonCatalog, whose photographs may be passed on where JourneyDB's may not."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from data_builders.commoncanvas.config import CatalogCopyBuild
from data_builders.commoncanvas.filters import DUPLICATE, FILTERS
from data_builders.commoncanvas.rows import PICTURE
from data_builders.commoncanvas.selecting import selected
from data_builders.engine.card import rendered
from data_builders.engine.image_files import decode_picture, encode_jpeg, middle, visible
from data_builders.engine.parquet import PictureCells
from data_builders.engine.records import Drop, Record, Sample, Selection, Source


class CatalogCopyBuilder:
    """CommonCatalog to photographs with their captions; each is target and condition."""

    name = "catalog_copy"
    version = 1

    def __init__(self, config: CatalogCopyBuild) -> None:
        self.config = config

    def select(self) -> Selection:
        """Filter the rows; see `data_builders.commoncanvas.selecting`.

        Raises:
            DataError: The source is missing or damaged.
        """
        return selected(self.config.source, self.config)

    def make(self, record: Record) -> Sample:
        """One sample.

        Raises:
            Drop: The picture is missing, damaged, too small or too large.
            DataError: A file of the source cannot be read.
        """
        (made,) = self.make_many([record])
        if isinstance(made, Drop):
            raise made
        return made

    def make_many(self, records: Sequence[Record]) -> Iterator[Sample | Drop]:
        """The samples of a shard: each row group is read once, for all its records that follow each other.

        Raises:
            DataError: As `make`.
        """
        wanted = [(record.fields["place"], record.fields["row"]) for record in records]
        cells = PictureCells(Path(self.config.source.root).expanduser(), PICTURE, wanted)
        for record, (place, row) in zip(records, wanted, strict=True):
            try:
                yield self._sample(record, cells.read(place, row))
            except Drop as drop:
                yield drop

    def card(self) -> str:
        """What the data card says of CommonCatalog."""
        return rendered("catalog_copy", config=self.config, filters=[*(line[:2] for line in FILTERS), DUPLICATE])

    def _sample(self, record: Record, content: bytes) -> Sample:
        source, fields = self.config.source, record.fields
        photo = decode_picture(content, None, source.max_pixels)
        if min(photo.size) < source.min_side:
            raise Drop("too_small")
        target = middle(photo, self.config.image_size, self.config.max_aspect)
        return Sample(
            target=encode_jpeg(target, self.config.jpeg_quality),
            condition=None,
            prompt=fields["prompt"],
            cond_prompt=fields["prompt"],
            slot=None,
            source=Source(**fields["source"]),
            generation=None,
            scores={"side": float(min(photo.size)), "visible": visible(photo, self.config.max_aspect)},
        )
