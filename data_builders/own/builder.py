"""The builder of one's own pictures, for every task."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from data_builders.captions.captioner import Caption, model_captioner
from data_builders.engine.card import rendered
from data_builders.engine.image_files import cut, decode_picture, encode_jpeg, middle
from data_builders.engine.records import Drop, Record, Sample, Selection, Source
from data_builders.own.conditions import object_alone, recoloured, square_with
from data_builders.own.config import OwnBuild
from data_builders.own.pairs import GROUPED, Pair, pairs_of
from data_builders.own.rows import Row
from data_builders.own.sources import pictures_of
from ipai.image_io import open_picture

_SEEN = 127  # a mask is white where the object is


class OwnBuilder:
    """One's own pictures, in any of the forms of `sources`, to pairs of a task."""

    name = "own"
    version = 2
    captions_each = 1

    def __init__(self, config: OwnBuild) -> None:
        self.config = config
        self._source = pictures_of(config.source)
        self._model = model_captioner(config)

    def select(self) -> Selection:
        """Read what the source says of its pictures, and pair.

        Raises:
            DataError: It is missing or damaged.
        """
        rows = self._source.rows()
        pairs, alone = pairs_of(self.config.task, rows, self.config.pairs.per_picture, self.config.seed)
        named = [pair for pair in pairs if self.config.task != "object" or pair.row.slot]
        told = [(pair, caption) for pair in named if (caption := self._caption_of(pair.row)) is not None]
        return Selection(
            records=[self._record(pair, caption) for pair, caption in told],
            considered=len(pairs) + alone,
            drops={
                "alone_in_its_group": alone,
                "no_slot": len(pairs) - len(named),
                "no_caption": len(named) - len(told),
            },
            facts={"pictures": len(rows), "groups": len({row.group for row in rows if row.group is not None})},
            more="pairs.per_picture=16" if self.config.task in GROUPED else None,
        )

    def make(self, record: Record) -> Sample:
        """Read, cut and encode.

        Raises:
            Drop: A picture is missing, damaged or too large, its mask is missing or empty, or a model would not
                describe it.
            DataError: The disk or the permissions refuse the reading, or the model was never asked.
        """
        fields, quality = record.fields, self.config.jpeg_quality
        target, condition = self._pictures(record)
        caption = self._model.caption_of(target) if self._model else Caption(fields["prompt"])
        licence = fields["licence"]
        return Sample(
            target=encode_jpeg(target, quality),
            condition=None if condition is None else encode_jpeg(condition, quality),
            prompt=caption.text,
            cond_prompt=fields["cond_prompt"] or caption.text,
            slot=fields["slot"] if self.config.task == "object" else None,
            source=Source(self.config.source.dataset, self._source.called(fields["target"]), licence, None),
            generation={"caption": caption.provenance} if caption.provenance else None,
            scores={},
        )

    def pictures_to_caption(self, records: Sequence[Record]) -> Iterator[Image.Image | Drop]:
        """The targets, for a language model to describe; raises DataError as `make` does."""
        for record in records:
            try:
                yield self._pictures(record)[0]
            except Drop as drop:
                yield drop

    def card(self) -> str:
        """What the data card says of the folder."""
        return rendered("own", config=self.config, model=self._model)

    def _record(self, pair: Pair, prompt: str) -> Record:
        row, source, task = pair.row, self.config.source, self.config.task
        names = dict.fromkeys(licence or source.licence_name or "not stated" for licence in pair.licences)
        name = "" if list(names) == ["not stated"] else " and ".join(names)
        url = source.licence_url if name == source.licence_name else ""
        fields = {
            "target": row.target, "condition": pair.condition, "mask": row.mask, "slot": row.slot, "prompt": prompt,
            "cond_prompt": pair.cond_prompt, "licence": {"name": name, "url": url} if name else None,
        }  # fmt: skip
        key = hashlib.sha256(f"{row.target}\n{pair.condition}".encode()).hexdigest()[:16]
        group = row.group if task in GROUPED and row.group is not None else row.target
        return Record(f"{task}-{key}", group, fields)

    def _caption_of(self, row: Row) -> str | None:
        if self.config.captioner.name == "template":
            return (self.config.captioner.template or "").replace("{objects}", row.slot or "something")
        return "" if self._model else row.prompt

    def _pictures(self, record: Record) -> tuple[Image.Image, Image.Image | None]:
        """Target and condition; both are square, but a target may keep its shape, and what is made of it."""
        fields, config = record.fields, self.config
        picture, size = self._read(fields["target"]), config.image_size
        if fields["condition"] is not None:
            condition = self._read(fields["condition"])
            return middle(picture, size, config.max_aspect), middle(condition, size, max_aspect=1)
        if config.task == "object":
            mask = self._mask(fields, picture)
            alone = object_alone(picture, mask, config.crop.margin, size, config.seed, fields["target"])
            return cut(picture, square_with(picture, mask), size), alone
        target = middle(picture, size, config.max_aspect)
        if config.task == "structure":
            return target, recoloured(target, config.seed, fields["target"])
        return target, None

    def _read(self, name: str) -> Image.Image:
        return decode_picture(self._source.read(name), None, self.config.source.max_pixels)

    def _mask(self, fields: Mapping[str, Any], picture: Image.Image) -> np.ndarray:
        """Where the object is, from its mask or the picture's alpha channel: bool [H, W]."""
        if fields["mask"] is not None:
            grey = self._read(fields["mask"]).convert("L")
        else:
            raw = open_picture(self._source.read(fields["target"]))
            if "A" not in raw.getbands():
                raise Drop("no_mask")
            grey = raw.getchannel("A")
        if grey.size != picture.size:
            raise Drop("size_mismatch")
        return np.asarray(grey) > _SEEN
