"""The builder of task `style` (as in the paper: midjourney-images and InstantStyle)."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from PIL import Image

from data_builders.captions.captioner import Caption, ModelCaptioner, model_captioner
from data_builders.engine.card import rendered
from data_builders.engine.image_files import cut, encode_jpeg, middle_square
from data_builders.engine.keyed_hash import share
from data_builders.engine.records import Drop, Locality, Record, Sample, Selection, Source
from data_builders.instantstyle.captions import captions_of
from data_builders.instantstyle.config import StyleBuild
from data_builders.instantstyle.images import REASONS, Place, StyleImage, find_images, reader
from data_builders.instantstyle.prompts import read_prompts
from data_builders.teachers.batches import Draft, make_alone, make_in_batches, seed_of
from data_builders.teachers.loaded import fetch
from data_builders.teachers.request import Request


class InstantStyleBuilder:
    """Style images and prompts to pairs of a style image and a picture of the prompt in its style."""

    name = "instantstyle"
    version = 2
    captions_each = 1

    def __init__(self, config: StyleBuild) -> None:
        self.config = config
        self._model = model_captioner(config)

    def select(self) -> Selection:
        """Find the style images and prompts, and draw `source.pairs_per_image` prompts for each image by key.

        A candidate is a pair; an image that is left out counts as so many of them.

        Raises:
            DataError: Images, prompts or captions are missing or damaged.
        """
        prompts, counts = read_prompts(self.config.source.prompts, self.config.prompts)
        captions = captions_of(self.config)
        drops: Counter[str] = Counter()
        images = find_images(self.config.source, drops)
        looked_at = len(images) + drops.total()
        captioned = [(image, self._caption(image, captions)) for image in images]
        pairs = self.config.source.pairs_per_image
        drops["caption"] = sum(not caption for _, caption in captioned)
        return Selection(
            records=[
                self._record(image, caption, prompts, number)
                for image, caption in captioned
                if caption
                for number in range(pairs)
            ],
            considered=looked_at * pairs,
            drops={reason: drops[reason] * pairs for reason in (*REASONS, "caption") if drops[reason]},
            facts={"pictures": looked_at, "style images": len(images) - drops["caption"]} | counts,
            more=self._more_pairs(len(images) - drops["caption"]),
            locality=Locality("file", most=self.config.shard_size),  # a row group of Parquet is read from its beginning
        )

    def fetch(self) -> None:
        """Download what of the teacher is not there; raises WeightsError if it is not to be had."""
        fetch(self.config.teacher)

    def make(self, record: Record) -> Sample:
        """One sample, the same as in any batch.

        Raises:
            Drop: The style image is missing or damaged by now, the language model would not describe it, or the
                generated picture shows nothing.
            DataError: The source cannot be read, the memory does not suffice, or the language model was never asked.
            WeightsError, ConfigError: The teacher cannot be loaded, or its scales reach no block.
        """
        return make_alone(record, self._preparing([record]), self.config.teacher)

    def make_many(self, records: Sequence[Record]) -> Iterator[Sample | Drop]:
        """The samples of a shard, `teacher.batch_size` generated at once; raises what `make` does, except Drop."""
        return make_in_batches(records, self._preparing(records), self.config.teacher)

    def pictures_to_caption(self, records: Sequence[Record]) -> Iterator[Image.Image | Drop]:
        """The conditions, for a language model to describe; raises DataError as `make` does."""
        preparing = self._preparing(records)
        for record in records:
            try:
                yield preparing.condition(preparing.read(record))
            except Drop as drop:
                yield drop

    def card(self) -> str:
        """What the data card says of the style images, the prompts and InstantStyle."""
        return rendered(
            "instantstyle",
            config=self.config,
            model=self._model,
            filters=[*REASONS.items(), ("caption", "captioner=dataset has no caption of it")],
        )

    def _more_pairs(self, images: int) -> str | None:
        limit, pairs = self.config.limit, self.config.source.pairs_per_image
        enough = -(-(limit or 0) // max(images, 1))
        return f"source.pairs_per_image={enough}" if enough > pairs else None

    def _preparing(self, records: Sequence[Record]) -> "_Preparation":
        return _Preparation(self.config, self._model, [_place(record) for record in records])

    def _caption(self, image: StyleImage, captions: dict[str, str] | None) -> str:
        if self._model is not None:
            return self._model.kind  # in the records, so that another prompt or model is another plan
        return (self.config.captioner.template or "") if captions is None else captions.get(str(image.place), "")

    def _record(self, image: StyleImage, caption: str, prompts: list[str], number: int) -> Record:
        key = f"{image.sha256[:16]}-{number}"
        source = self.config.source
        fields = {
            "file": image.place.name,
            "row": image.place.row,
            "prompt": prompts[int(share(self.config.seed, "prompt", key) * len(prompts))],
            "cond_prompt": caption,
            "source": {
                "dataset": source.dataset,
                "id": str(image.place),
                "licence": {"name": source.licence_name, "url": source.licence_url},
                "attribution": None,
            },
        }
        return Record(key, image.sha256[:16], fields)


class _Preparation:
    """Turns records into drafts: reads the style image and cuts its square."""

    def __init__(self, config: StyleBuild, model: ModelCaptioner | None, places: list[Place]) -> None:
        self._config = config
        self._model = model
        self._read = reader(config.source, places)

    def read(self, record: Record) -> Image.Image:
        """The style image; raises Drop."""
        return self._read(_place(record))

    def condition(self, picture: Image.Image) -> Image.Image:
        """The square in the middle of it, as it is written."""
        return cut(picture, middle_square(*picture.size), self._config.image_size)

    def __call__(self, record: Record) -> Draft:
        fields, config = record.fields, self._config
        picture = self.read(record)
        condition = self.condition(picture)
        caption = self._model.caption_of(condition) if self._model else Caption(fields["cond_prompt"])
        written = {"cond_caption": caption.provenance} if caption.provenance else {}
        seed = seed_of(config.seed, record.key)

        def finish(pictures: Sequence[Image.Image], provenance: dict[str, Any]) -> Sample:
            (drawn,) = pictures
            return Sample(
                target=encode_jpeg(cut(drawn, (0, 0, drawn.width), config.image_size), config.jpeg_quality),
                condition=encode_jpeg(condition, config.jpeg_quality),
                prompt=fields["prompt"],
                cond_prompt=caption.text,
                slot=None,
                source=Source(**fields["source"]),
                generation={**provenance, "seed": seed, **written},
                scores={},
            )

        style = cut(picture, middle_square(*picture.size), config.teacher.resolution)
        return Draft((Request(fields["prompt"], seed, style, caption.text),), finish)


def _place(record: Record) -> Place:
    return Place(record.fields["file"], record.fields["row"])
