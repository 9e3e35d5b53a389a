"""The builder of task `object` (paper section 4.3: COCO objects, cropped, padded with a random colour)."""

import numpy as np
from PIL import Image

from data_builders.coco.annotations import load_instances, photo_path
from data_builders.coco.captions import condition_caption, create_captioner
from data_builders.coco.card import card_sections
from data_builders.coco.config import ObjectBuild
from data_builders.coco.filters import Candidate, select
from data_builders.coco.geometry import condition_square, target_square
from data_builders.coco.masks import mask_of, usable
from data_builders.engine.keyed import rank
from data_builders.engine.pictures import cut, encode_jpeg, read_picture
from data_builders.engine.records import CardSection, Drop, Record, Sample, Selection, Source


class CocoBuilder:
    """COCO 2017 to pairs of an object on one colour and the photograph that it was taken from."""

    name = "coco"
    version = 1

    def __init__(self, config: ObjectBuild) -> None:
        self.config = config

    def select(self) -> Selection:
        """Filter the annotations; see `data_builders.coco.filters`.

        Raises:
            DataError: The source is missing or damaged.
        """
        instances = load_instances(self.config.source)
        chosen, drops = select(instances, self.config, create_captioner(self.config, instances))
        annotated = sum(photo in instances.annotations for photo in instances.photos)
        return Selection(
            records=[self._record(candidate, caption) for candidate, caption in chosen],
            considered=sum(len(items) for items in instances.annotations.values()),
            drops=drops,
            facts={"photographs": len(instances.photos), "without annotations": len(instances.photos) - annotated},
        )

    def make(self, record: Record) -> Sample:
        """Cut both pictures.

        Raises:
            Drop: The photograph is missing, damaged, too large or of another size than annotated, or its mask is empty.
            DataError: The disk or the permissions refuse the reading.
        """
        fields = record.fields
        size = (fields["width"], fields["height"])
        path = photo_path(self.config.source, fields["file_name"])
        photo = read_picture(path, size, self.config.source.max_pixels)
        mask = mask_of(fields["segmentation"], *size)
        if not mask.any():
            raise Drop("empty_mask")
        box = tuple(fields["box"])
        square, visible = target_square(*size, box)
        target = cut(photo, square, self.config.image_size)
        return Sample(
            target=encode_jpeg(target, self.config.jpeg_quality),
            condition=encode_jpeg(self._condition(photo, mask, box, fields["annotation"]), self.config.jpeg_quality),
            prompt=fields["prompt"],
            cond_prompt=condition_caption(fields["category"]),
            slot=fields["category"],
            source=Source(**fields["source"]),
            generation=None,
            scores={
                "area": round(fields["area"] / (size[0] * size[1]), 6),
                "fill": round(fields["area"] / (box[2] * box[3]), 6),
                "side": round(min(box[2:]), 2),
                "visible": round(visible, 6),
            },
        )

    def card(self) -> list[CardSection]:
        """Source, licences, filters and pictures; see `data_builders.coco.card`."""
        return card_sections(self.config)

    def _condition(self, photo: Image.Image, mask: np.ndarray, box: tuple[float, ...], annotation: int) -> Image.Image:
        """The object's own pixels on one colour that is keyed by seed and annotation, square."""
        red, green, blue = rank(self.config.seed, "colour", str(annotation))[:3]
        colour = (red, green, blue)
        alone = np.where(mask[..., None], np.asarray(photo), np.asarray(colour, dtype=np.uint8))
        left, top, width, height = box
        square = condition_square((left, top, width, height), self.config.crop.margin)
        return cut(Image.fromarray(alone), square, self.config.image_size, beyond=colour)

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
