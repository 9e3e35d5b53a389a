"""The builder of task `face` (paper section 4: two pictures of one identity, half of the conditions zoomed in)."""

from collections.abc import Iterator, Sequence
from typing import Any

from PIL import Image

from data_builders.captions.captioner import Caption, model_captioner
from data_builders.celeba.annotations import load_faces, picture_folder
from data_builders.celeba.captions import create_captioner
from data_builders.celeba.config import DATASETS, LICENCE, FaceBuild
from data_builders.celeba.geometry import face_square, hq_face_square
from data_builders.celeba.pairs import FILTERS, NO_CAPTION, Pair, choose
from data_builders.engine.card import rendered
from data_builders.engine.image_files import Square, cut, encode_jpeg, middle_square, read_picture
from data_builders.engine.records import Drop, Record, Sample, Selection, Source
from ipai.data.likeness import hash_distance, perceptual_hash


class CelebaBuilder:
    """CelebA to ordered pairs of two pictures of one person.

    Near-duplicates are found by `make`, which decodes both pictures anyway: hashing all 200,000 would hold up each
    start by minutes. So `limit` plans more pairs than are wanted.
    """

    name = "celeba"
    version = 2
    captions_each = 2

    def __init__(self, config: FaceBuild) -> None:
        self.config = config
        self._model = model_captioner(config)

    def select(self) -> Selection:
        """Join the tables, pair the faces and caption the pairs; see `annotations`, `pairs` and `captions`.

        Raises:
            DataError: The source is missing or damaged.
        """
        faces, facts = load_faces(self.config)
        pairs, drops, persons = choose(faces, self.config)
        captioner = create_captioner(self.config, self._model)
        records: list[Record] = []
        for pair in pairs:
            zoomed = pair.is_zoomed(self.config)
            captions = captioner(pair, zoomed)
            if captions:
                records.append(self._record(pair, zoomed, captions))
        drops["caption"] = len(pairs) - len(records)
        cap = self.config.pairs.max_per_identity
        more = None if cap is None or not drops["identity_cap"] else f"pairs.max_per_identity={2 * cap}"
        return Selection(records, len(records) + sum(drops.values()), drops, facts | persons, more=more)

    def make(self, record: Record) -> Sample:
        """Cut both pictures.

        Raises:
            Drop: A picture is missing, damaged or too large, the two are near-duplicates, the landmarks lie outside, or
                the language model would not describe one.
            DataError: The disk or the permissions refuse the reading, or the model was never asked.
        """
        fields, quality = record.fields, self.config.jpeg_quality
        target, condition, scores = self._cut(record)
        prompt, cond_prompt = (Caption(fields[name]) for name in ("prompt", "cond_prompt"))
        generation = None
        if self._model:
            prompt, cond_prompt = self._model.caption_of(target), self._model.caption_of(condition)
            generation = {"caption": prompt.provenance, "cond_caption": cond_prompt.provenance}
        return Sample(
            target=encode_jpeg(target, quality),
            condition=encode_jpeg(condition, quality),
            prompt=prompt.text,
            cond_prompt=cond_prompt.text,
            slot=None,
            source=Source(**fields["source"]),
            generation=generation,
            scores=scores,
        )

    def pictures_to_caption(self, records: Sequence[Record]) -> Iterator[Image.Image | Drop]:
        """Target and condition of each, for a language model to describe; raises DataError as `make` does."""
        for record in records:
            try:
                target, condition, _ = self._cut(record)
            except Drop as drop:
                yield drop
            else:
                yield from (target, condition)

    def card(self) -> str:
        """What the data card says of CelebA."""
        return rendered(
            "celeba", config=self.config, model=self._model, licence=LICENCE, filters=[*FILTERS, NO_CAPTION]
        )

    def _cut(self, record: Record) -> tuple[Image.Image, Image.Image, dict[str, float]]:
        """Target and condition as they are written, and the scores of the pair."""
        fields, config = record.fields, self.config
        folder = picture_folder(config.source)
        target = read_picture(folder / fields["target"], None, config.source.max_pixels)
        condition = read_picture(folder / fields["condition"], None, config.source.max_pixels)
        distance = hash_distance(perceptual_hash(target), perceptual_hash(condition))
        if distance < config.pairs.min_hash_distance:
            raise Drop("near_duplicate")
        whole = middle_square(*target.size)
        square = self._condition_square(condition, fields)
        scores = {
            "hash_distance": float(distance),
            "side": float(whole[2]),
            "cond_side": float(square[2]),
            "zoomed": float(fields["zoomed"]),
        }
        return cut(target, whole, config.image_size), cut(condition, square, config.image_size), scores

    def _condition_square(self, picture: Image.Image, fields: Any) -> Square:
        if not fields["zoomed"]:
            return middle_square(*picture.size)
        if self.config.source.form == "hq":
            return hq_face_square(*picture.size, self.config.zoom.scale)
        square = face_square(tuple(fields["landmarks"]), *picture.size, self.config.zoom.scale)
        if square is None:
            raise Drop("landmarks_outside")
        return square

    def _record(self, pair: Pair, zoomed: bool, captions: tuple[str, str]) -> Record:
        form = self.config.source.form
        source = {
            "dataset": DATASETS[form],
            "id": f"{pair.condition.file}/{pair.target.file}",
            "licence": LICENCE,
            "attribution": "CelebA (Liu et al., ICCV 2015), Multimedia Laboratory, The Chinese University of Hong Kong",
        }
        fields = {
            "condition": pair.condition.file,
            "target": pair.target.file,
            "zoomed": zoomed,
            "landmarks": list(pair.condition.landmarks) if zoomed and pair.condition.landmarks else None,
            "prompt": captions[0],
            "cond_prompt": captions[1],
            "source": source,
        }
        return Record(f"{DATASETS[form]}-{pair.name}", str(pair.condition.identity), fields)
