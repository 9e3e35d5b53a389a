"""The builder of task `object` (paper section 4.3: COCO objects, cropped, padded with a random colour)."""

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from data_builders.captions.captioner import Caption, model_captioner
from data_builders.coco.annotations import load_instances, photo_path
from data_builders.coco.captions import condition_caption, create_captioner
from data_builders.coco.config import ObjectBuild
from data_builders.coco.filters import AFTERWARDS, FILTERS, REFERENCE, Candidate, select
from data_builders.coco.geometry import condition_square, target_square
from data_builders.coco.masks import mask_of, usable
from data_builders.engine.card import rendered
from data_builders.engine.image_files import cut, encode_jpeg, read_picture
from data_builders.engine.keyed_hash import rank
from data_builders.engine.records import Drop, Record, Sample, Selection, Source


class CocoBuilder:
    """COCO 2017 to pairs of an object on one colour and the photograph that it was taken from."""

    name = "coco"
    captions_each = 1
    version = 3

    def __init__(self, config: ObjectBuild) -> None:
        self.config = config
        self._model = model_captioner(config)

    def select(self) -> Selection:
        """Filter the annotations; see `data_builders.coco.filters`.

        Raises:
            DataError: The source is missing or damaged.
        """
        instances = load_instances(self.config.source)
        chosen, drops = select(instances, self.config, create_captioner(self.config, instances, self._model))
        annotated = sum(photo in instances.annotations for photo in instances.photos)
        return Selection(
            records=[self._record(candidate, caption) for candidate, caption in chosen],
            considered=sum(len(items) for items in instances.annotations.values()),
            drops=drops,
            more="filters.max_per_category=null" if drops.get("category_cap") else None,
            facts={"photographs": len(instances.photos), "without annotations": len(instances.photos) - annotated},
        )

    def make(self, record: Record) -> Sample:
        """Cut both pictures.

        Raises:
            Drop: The photograph is missing, damaged, too large or of another size than annotated, its mask is empty,
                or the language model would not describe it.
            DataError: The disk or the permissions refuse the reading, or the model was never asked.
        """
        fields = record.fields
        photo, mask = self._read(record)
        target, visible = self._target(record, photo)
        caption = self._model.caption_of(target) if self._model else Caption(fields["prompt"])
        box = tuple(fields["box"])
        return Sample(
            target=encode_jpeg(target, self.config.jpeg_quality),
            condition=encode_jpeg(self._condition(photo, mask, box, fields["annotation"]), self.config.jpeg_quality),
            prompt=caption.text,
            cond_prompt=condition_caption(fields["category"]),
            slot=fields["category"],
            source=Source(**fields["source"]),
            generation={"caption": caption.provenance} if caption.provenance else None,
            scores={
                "area": round(fields["area"] / (photo.width * photo.height), 6),
                "fill": round(fields["area"] / (box[2] * box[3]), 6),
                "side": round(min(box[2:]), 2),
                "visible": round(visible, 6),
            },
        )

    def pictures_to_caption(self, records: Sequence[Record]) -> Iterator[Image.Image | Drop]:
        """The targets, for a language model to describe; raises DataError as `make` does."""
        for record in records:
            try:
                photo, _ = self._read(record)
                yield self._target(record, photo)[0]
            except Drop as drop:
                yield drop

    def card(self) -> str:
        """What the data card says of COCO."""
        return rendered(
            "coco",
            config=self.config,
            model=self._model,
            filters=[REFERENCE, *(line[:2] for line in FILTERS), *AFTERWARDS],
        )

    def _read(self, record: Record) -> tuple[Image.Image, np.ndarray]:
        """The photograph and the object's mask, both of the annotated size."""
        fields = record.fields
        size = (fields["width"], fields["height"])
        path = photo_path(self.config.source, fields["file_name"])
        photo = read_picture(path, size, self.config.source.max_pixels)
        mask = mask_of(fields["segmentation"], *size)
        if not mask.any():
            raise Drop("empty_mask")
        return photo, mask

    def _target(self, record: Record, photo: Image.Image) -> tuple[Image.Image, float]:
        """The target picture, and which share of the object's box it shows."""
        left, top, width, height = record.fields["box"]
        square, visible = target_square(*photo.size, (left, top, width, height))
        return cut(photo, square, self.config.image_size), visible

    def _condition(self, photo: Image.Image, mask: np.ndarray, box: tuple[float, ...], annotation: int) -> Image.Image:
        """The object's own pixels on one colour that is keyed by seed and annotation, or with what is around it."""
        red, green, blue = rank(self.config.seed, "colour", str(annotation))[:3]
        colour = (red, green, blue)
        kept = mask[..., None] if self.config.crop.background == "colour" else np.True_
        shown = np.where(kept, np.asarray(photo), np.asarray(colour, dtype=np.uint8))
        left, top, width, height = box
        square = condition_square((left, top, width, height), self.config.crop.margin)
        return cut(Image.fromarray(shown), square, self.config.image_size, beyond=colour)

    def _record(self, candidate: Candidate, caption: str) -> Record:
        photo, annotation, split = candidate.photo, candidate.annotation, self.config.source.split
        source = {
            "dataset": "coco2017",
            "id": f"{split}/{photo.id}/{annotation['id']}",
            "licence": photo.licence,
            "attribution": photo.flickr_url,
        }
        fields = {
            "file_name": photo.file_name,
            "width": photo.width,
            "height": photo.height,
            "annotation": annotation["id"],
            "category": candidate.name,
            "segmentation": usable(annotation["segmentation"], photo.width, photo.height),
            "box": list(candidate.box),
            "area": candidate.area,
            "prompt": caption,
            "source": source,
        }
        return Record(f"{_key(split)}-{photo.id:012d}-{annotation['id']}", str(photo.id), fields)


def _key(text: str) -> str:
    """`text` in the letters that a key may hold."""
    return "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in text.lower())
