"""The builder of style pairs by words: condition and target are drawn from two contents and one style."""

import hashlib
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from PIL import Image

from data_builders.engine.card import rendered
from data_builders.engine.image_files import cut, encode_jpeg
from data_builders.engine.keyed_hash import share
from data_builders.engine.records import Drop, Record, Sample, Selection, Source
from data_builders.instantstyle.prompts import read_prompts
from data_builders.teachers.batches import Draft, make_alone, make_in_batches, seed_of
from data_builders.teachers.loaded import fetch
from data_builders.teachers.request import Request
from data_builders.worded_style.config import WordedStyleBuild
from ipai.errors import DataError
from ipai.words import one_line


class WordedStyleBuilder:
    """Styles and contents, both in words, to pairs of pictures that share the style alone.

    Pairs that style-transfer methods make share little but their colours (MegaStyle); a text-to-image model that is
    told the same style twice draws it twice, whole.
    """

    name = "worded_style"
    version = 1

    def __init__(self, config: WordedStyleBuild) -> None:
        self.config = config

    def select(self) -> Selection:
        """Read styles and contents; for each style draw `source.pairs_per_style` pairs of contents by key.

        Raises:
            DataError: A file is missing or damaged, or there are fewer than two contents.
        """
        source = self.config.source
        contents, counts = read_prompts(source.prompts, self.config.prompts)
        if len(contents) < 2:
            raise DataError(f"{source.prompts} holds one content; condition and target need two different ones")
        styles = read_styles(source.styles)
        records = [
            self._record(style, contents, number) for style in styles for number in range(source.pairs_per_style)
        ]
        return Selection(
            records=records,
            considered=len(records),
            drops={},
            facts={"styles": len(styles)} | counts,
            more=self._more_pairs(len(styles)),
        )

    def fetch(self) -> None:
        """Download what of the teacher is not there; raises WeightsError if it is not to be had."""
        fetch(self.config.teacher)

    def make(self, record: Record) -> Sample:
        """One sample, the same as in any batch.

        Raises:
            Drop: A picture shows nothing.
            DataError: The memory does not suffice.
            WeightsError, ConfigError: The teacher cannot be loaded.
        """
        return make_alone(record, self._prepare, self.config.teacher)

    def make_many(self, records: Sequence[Record]) -> Iterator[Sample | Drop]:
        """The samples of a shard, half of `teacher.batch_size` at once; raises what `make` does, except Drop."""
        return make_in_batches(records, self._prepare, self.config.teacher)

    def card(self) -> str:
        """What the data card says of styles, contents and the teacher."""
        return rendered("worded_style", config=self.config)

    def _more_pairs(self, styles: int) -> str | None:
        limit, pairs = self.config.limit, self.config.source.pairs_per_style
        enough = -(-(limit or 0) // styles)
        return f"source.pairs_per_style={enough}" if enough > pairs else None

    def _record(self, style: str, contents: list[str], number: int) -> Record:
        group = hashlib.sha256(style.encode()).hexdigest()[:16]
        key = f"{group}-{number}"
        seed, count = self.config.seed, len(contents)
        first = int(share(seed, "condition", key) * count)
        second = (first + 1 + int(share(seed, "target", key) * (count - 1))) % count  # any but the first
        return Record(key, group, {"style": style, "cond_prompt": contents[first], "prompt": contents[second]})

    def _prepare(self, record: Record) -> Draft:
        fields, config = record.fields, self.config
        seeds = [seed_of(config.seed, f"{record.key}/{part}") for part in ("condition", "target")]
        requests = tuple(
            Request(f"{fields[content]}, {fields['style']}", seed)
            for content, seed in zip(("cond_prompt", "prompt"), seeds, strict=True)
        )
        source = config.source
        licence = {"name": source.licence_name, "url": source.licence_url} if source.licence_name else None

        def finish(pictures: Sequence[Image.Image], provenance: dict[str, Any]) -> Sample:
            condition, target = (
                encode_jpeg(cut(drawn, (0, 0, drawn.width), config.image_size), config.jpeg_quality)
                for drawn in pictures
            )
            return Sample(
                target=target,
                condition=condition,
                prompt=fields["prompt"],
                cond_prompt=fields["cond_prompt"],
                slot=None,
                source=Source(source.dataset, record.key, licence, None),
                generation={**provenance, "seeds": seeds, "style": fields["style"]},
                scores={},
            )

        return Draft(requests, finish)


def read_styles(file: str | None) -> list[str]:
    """Descriptions of styles, each once, in the order of the file; None reads those that come along.

    Raises:
        DataError: It cannot be read, or is empty.
    """
    try:
        if file is None:
            text = resources.files("data_builders.worded_style").joinpath("styles.txt").read_text(encoding="utf-8")
        else:
            text = Path(file).expanduser().read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"source.styles={file} cannot be read as UTF-8 text: {error}") from error
    styles = list(dict.fromkeys(filter(None, map(one_line, text.splitlines()))))
    if not styles:
        raise DataError(f"source.styles={file} is empty; it holds a description of a style a line")
    return styles
