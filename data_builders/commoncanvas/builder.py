"""The builder of task `structure` (as in the paper: CommonCanvas and the scribble ControlNet)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from data_builders.commoncanvas.config import StructureBuild
from data_builders.commoncanvas.filters import DUPLICATE, FILTERS
from data_builders.commoncanvas.lines import agreement, density, edge_map
from data_builders.commoncanvas.rows import PICTURE
from data_builders.commoncanvas.selecting import selected
from data_builders.engine.card import rendered
from data_builders.engine.image_files import cut, decode_picture, encode_jpeg, middle_square
from data_builders.engine.parquet import PictureCells
from data_builders.engine.records import Drop, Record, Sample, Selection, Source
from data_builders.teachers.batches import Draft, make_alone, make_in_batches, seed_of
from data_builders.teachers.loaded import fetch
from data_builders.teachers.request import Request


class CommonCanvasBuilder:
    """CommonCatalog to pairs of a photograph and a picture with its edges."""

    name = "commoncanvas"
    version = 2

    def __init__(self, config: StructureBuild) -> None:
        self.config = config

    def select(self) -> Selection:
        """Filter the rows; see `data_builders.commoncanvas.selecting`.

        Raises:
            DataError: The source is missing or damaged.
        """
        return selected(self.config.source, self.config)

    def fetch(self) -> None:
        """Download what of the teacher is not there; raises WeightsError if it is not to be had."""
        fetch(self.config.teacher)

    def make(self, record: Record) -> Sample:
        """One sample, the same as in any batch.

        Raises:
            Drop: The picture is missing, damaged, too small or too large, its edges are too few or too many, or the
                generated picture shows nothing.
            DataError: A file of the source cannot be read, or the memory does not suffice.
            WeightsError: The teacher cannot be loaded.
        """
        return make_alone(record, self._preparing([record]), self.config.teacher)

    def make_many(self, records: Sequence[Record]) -> Iterator[Sample | Drop]:
        """The samples of a shard, `teacher.batch_size` generated at once; raises what `make` does, except Drop."""
        return make_in_batches(records, self._preparing(records), self.config.teacher)

    def card(self) -> str:
        """What the data card says of CommonCatalog and the ControlNet."""
        return rendered("commoncanvas", config=self.config, filters=[*(line[:2] for line in FILTERS), DUPLICATE])

    def _preparing(self, records: Sequence[Record]) -> "_Preparation":
        wanted = [(record.fields["place"], record.fields["row"]) for record in records]
        return _Preparation(self.config, PictureCells(Path(self.config.source.root).expanduser(), PICTURE, wanted))


class _Preparation:
    """Turns records into drafts: reads the photograph, finds its edges, refuses unfit ones."""

    def __init__(self, config: StructureBuild, cells: PictureCells) -> None:
        self._config = config
        self._cells = cells

    def __call__(self, record: Record) -> Draft:
        fields, config = record.fields, self._config
        content = self._cells.read(fields["place"], fields["row"])
        photo = decode_picture(content, None, config.source.max_pixels)
        if min(photo.size) < config.source.min_side:
            raise Drop("too_small")
        square = middle_square(*photo.size)
        edges = edge_map(cut(photo, square, config.teacher.resolution), config.edges)
        covered = density(edges)
        if covered < config.edges.min_density:
            raise Drop("few_edges")
        if covered > config.edges.max_density:
            raise Drop("many_edges")
        seed = seed_of(config.seed, record.key)
        condition = encode_jpeg(cut(photo, square, config.image_size), config.jpeg_quality)
        lines = Image.fromarray(edges).convert("RGB")

        def finish(pictures: Sequence[Image.Image], provenance: dict[str, Any]) -> Sample:
            (picture,) = pictures
            followed = agreement(edges, edge_map(picture, config.edges), config.edges.tolerance)
            return Sample(
                target=encode_jpeg(cut(picture, (0, 0, picture.width), config.image_size), config.jpeg_quality),
                condition=condition,
                prompt=fields["prompt"],
                cond_prompt=fields["prompt"],
                slot=None,
                source=Source(**fields["source"]),
                generation={**provenance, "seed": seed},
                scores={"edge_density": round(covered, 6), "edge_f1": round(followed, 6)},
            )

        return Draft((Request(fields["prompt"], seed, lines),), finish)
