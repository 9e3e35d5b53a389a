"""What the data card says of CelebA."""

from data_builders.captions.captioner import ModelCaptioner
from data_builders.celeba.config import FaceBuild
from data_builders.celeba.pairs import FILTERS
from data_builders.engine.records import CardSection

DATASETS = {"aligned": "celeba", "hq": "celeba-hq"}
"""Name of the data set in records and keys, by `source.form`."""

LICENCE = {
    "name": "CelebA agreement: non-commercial research, no redistribution",
    "url": "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
}
"""Written to every record."""

_LICENCE = f"""CelebA may be used for **non-commercial research only**, and the pictures, whole or in part, may not be
copied, published or passed on; the agreement is on its page ({LICENCE["url"]}) and holds for CelebA-HQ, which is made
of the same photographs. So these shards stay where they are; the recipe (command, settings, manifest with its hashes)
can be shared. The pictures show **real people**: no name is read or written here, and `group` is CelebA's own
number of a person, which must not be used to find out who it is."""


def card_sections(config: FaceBuild, model: ModelCaptioner | None) -> list[CardSection]:
    """Source, licence, pairs with their filters in order, pictures and captions, by `model` where there is one."""
    return [
        CardSection("Source", _source(config)),
        CardSection("Licence", _LICENCE),
        CardSection("Pairs and filters, in order", _filters(config)),
        CardSection("Pictures and captions", _pictures(config, model)),
    ]


def _source(config: FaceBuild) -> str:
    form = {
        "aligned": "the aligned and cropped pictures, 178 x 218 px, so everything is scaled up to the shards' size",
        "hq": "CelebA-HQ (Karras et al., arXiv 1710.10196), 30,000 of the pictures anew at 1024 x 1024 px, joined "
        "through its mapping file",
    }[config.source.form]
    return (
        f"CelebA (Liu et al., Deep Learning Face Attributes in the Wild, ICCV 2015): {form}. Partitions "
        f"`{config.source.split}`. Task `face` of IPAdapter-Instruct (arXiv 2408.03209): condition and target are two "
        "pictures of one person. The group of the validation split is the identity."
    )


def _filters(config: FaceBuild) -> str:
    rows = [f"{number}. `{reason}`: {meaning}" for number, (reason, meaning) in enumerate(FILTERS, start=1)]
    rows.append(f"{len(rows) + 1}. `caption`: one of its pictures has no usable row of attributes")
    return (
        "A picture takes part if identity, partition and, for zooming aligned pictures, landmarks are listed; what is "
        "left out, and bad rows, are counted under the source's facts. Candidates are all ordered pairs of two "
        "pictures of one person; a candidate is dropped by the first of these that holds.\n\n"
        + "\n".join(rows)
        + "\n\nWhen the pictures are read, a pair is dropped if one of its files is `missing_file`, `not_an_image`, "
        "`truncated` or over `source.max_pixels` (`too_many_pixels`), if their 64-bit difference hashes differ in "
        f"fewer than {config.pairs.min_hash_distance} bits (`near_duplicate`), or if the face lies outside of the "
        "picture (`landmarks_outside`). `limit` plans more pairs than are wanted, because these are found only then."
    )


def _pictures(config: FaceBuild, model: ModelCaptioner | None) -> str:
    size, zoom = config.image_size, config.zoom
    how = {
        "aligned": f"the square around the middle between eyes and mouth, by the aligned landmarks, of {zoom.scale} "
        "distances between the eyes (or from eyes to mouth, where that is more)",
        "hq": f"a fixed square of {zoom.scale / 4:.0%} of the side around (0.5, 0.6) of it, where CelebA-HQ's own "
        "cutting puts the face; the landmarks do not fit these pictures",
    }[config.source.form]
    free = (
        "a sentence made of CelebA's attributes of the picture, in one of three wordings (keyed by the pair): "
        "expression, hair, beard, glasses, make-up, hat, jewellery, never the shape of the face, an opinion or a name; "
        "nothing where attributes contradict each other; what a close-up does not show is left out of its caption"
        if config.captioner.name == "dataset"
        else f"the template `{config.captioner.template}` with `a person`"
    )
    return (
        "- target and condition: the square in the middle of the picture\n"
        f"- in {zoom.fraction:.0%} of the pairs (keyed by seed and pair; `scores.zoomed` is 1) the condition is zoomed "
        f"in on the face: {how}\n"
        f"- both scaled to {size} x {size} px (Lanczos), JPEG, quality {config.jpeg_quality}, 4:4:4\n"
        "- scores: `side` and `cond_side`, sides of the squares before scaling in px; `hash_distance` in bits; "
        "`zoomed`\n"
        f"- prompt (target) and cond_prompt (condition): {model.card_text() if model else free}"
    )
