"""The builder of task `copy` (paper section 4: a random sample of JourneyDB, each picture with its own prompt)."""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from data_builders.engine.card import rendered
from data_builders.engine.image_files import decode_picture, encode_jpeg, middle, visible
from data_builders.engine.keyed_hash import digest_of
from data_builders.engine.plan import within_limit
from data_builders.engine.records import Drop, Locality, Record, Sample, Selection, Source
from data_builders.journeydb.annotations import annotation_file, annotation_lines, obtain, split_folder
from data_builders.journeydb.archives import archive_path, pictures_of, present_archives
from data_builders.journeydb.config import LICENCE, CopyBuild
from data_builders.journeydb.filters import FILTERS, Picture, Sieve
from data_builders.journeydb.prompts import group_of
from ipai.errors import DataError
from ipai.words import one_line

_PLAIN_NAME = re.compile(r"([a-z0-9_-]{1,64})\.jpg")


class JourneyBuilder:
    """JourneyDB to pictures with the prompts that they were made from.

    The archives have no random access, so the records of one archive lie together in a shard and `make_many` reads
    it once.
    """

    name = "journeydb"
    version = 3

    def __init__(self, config: CopyBuild) -> None:
        self.config = config

    def select(self) -> Selection:
        """Filter the annotations; see `data_builders.journeydb.filters`. Keeps no more records than `limit`.

        Raises:
            DataError: The source is missing or damaged.
        """
        source = self.config.source
        folder = split_folder(source)
        archives = present_archives(folder)
        if not archives:
            raise DataError(f"there is no archive {folder / 'imgs' / 'NNN.tgz'}.\n{obtain(source)}")
        sieve = Sieve(archives)
        pictures = filter(None, map(sieve.judge, annotation_lines(annotation_file(folder, source.split))))
        records = within_limit(map(self._record, pictures), self.config)
        return Selection(
            records=records,
            considered=sieve.considered,
            drops=sieve.drops,
            facts={"archives": len(archives)},
            not_drawn=sieve.passed - len(records),
            locality=Locality("archive", source.archives_per_shard, source.val_apart),
        )

    def make(self, record: Record) -> Sample:
        """Build one sample; it reads the archive up to this picture.

        Raises:
            Drop: The picture is not in its archive, damaged, no picture or too large.
            DataError: The archive is missing, cut short or damaged.
        """
        (made,) = self.make_many([record])
        if isinstance(made, Drop):
            raise made
        return made

    def make_many(self, records: Sequence[Record]) -> Iterator[Sample | Drop]:
        """Build samples, reading an archive once for all its records that follow each other.

        Raises:
            DataError: An archive is missing, cut short or damaged.
        """
        for archive, part in groupby(records, key=lambda record: str(record.fields["archive"])):
            yield from self._make_of(archive, list(part))

    def card(self) -> str:
        """What the data card says of JourneyDB."""
        return rendered("journeydb", config=self.config, licence=LICENCE, filters=FILTERS)

    def _make_of(self, archive: str, records: list[Record]) -> Iterator[Sample | Drop]:
        """The samples of one archive. Their JPEGs are held until all are read, as the archive has its own order."""
        path = archive_path(split_folder(self.config.source), archive)
        wanted = {str(record.fields["name"]): record for record in records}
        made: dict[str, Sample | Drop] = {}
        for name, content in pictures_of(path, wanted):
            made[name] = content if isinstance(content, Drop) else self._sample(wanted[name], content)
        for record in records:
            yield made.get(record.fields["name"]) or Drop("not_in_archive")

    def _sample(self, record: Record, content: bytes) -> Sample | Drop:
        try:
            picture = decode_picture(content, None, self.config.source.max_pixels)
        except Drop as drop:
            return drop
        target = middle(picture, self.config.image_size, self.config.max_aspect)
        fields = record.fields
        return Sample(
            target=encode_jpeg(target, self.config.jpeg_quality),
            condition=None,
            prompt=fields["prompt"],
            cond_prompt=fields["prompt"],
            slot=None,
            source=Source(**fields["source"]),
            generation={"model": "Midjourney", "prompt": fields["raw_prompt"]},
            scores={"side": float(min(picture.size)), "visible": visible(picture, self.config.max_aspect)},
        )

    def _record(self, picture: Picture) -> Record:
        split = self.config.source.split
        source = {
            "dataset": "journeydb",
            "id": f"{split}/{picture.archive}/{picture.name}",
            "licence": LICENCE,
            "attribution": "JourneyDB (Sun et al., arXiv 2307.00716), made with Midjourney by its users",
        }
        fields = {
            "archive": picture.archive,
            "name": picture.name,
            "prompt": picture.prompt if self.config.source.prompt == "clean" else one_line(picture.raw_prompt),
            "raw_prompt": picture.raw_prompt,
            "source": source,
        }
        plain = _PLAIN_NAME.fullmatch(picture.name)
        name = plain[1] if plain else digest_of(picture.name)[:32]
        return Record(f"{split}-{picture.archive}-{name}", group_of(picture.prompt), fields)
