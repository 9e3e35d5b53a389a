"""What the data card says of COCO."""

from data_builders.captions.captioner import ModelCaptioner
from data_builders.coco.config import ObjectBuild
from data_builders.coco.filters import AFTERWARDS, FILTERS, REFERENCE
from data_builders.engine.records import CardSection

_LICENCES = """The annotations are CC BY 4.0, COCO Consortium. The photographs belong to their authors on Flickr, each
under its own licence; some forbid commercial use, some derivatives. Every sample names its licence (`source.licence`)
and its photograph (`source.attribution`); the counts above say how many fall under which. The terms of use of the COCO
site and of Flickr hold too. Check the licences of your own selection before you share shards; the manifest can be
shared as it is."""


def card_sections(config: ObjectBuild, model: ModelCaptioner | None) -> list[CardSection]:
    """Source, licences, filters in their order, pictures and captions, which `model` wrote where there is one."""
    return [
        CardSection("Source", _source(config)),
        CardSection("Licences", _LICENCES),
        CardSection("Filters, in order", _filters()),
        CardSection("Pictures and captions", _pictures(config, model)),
    ]


def _source(config: ObjectBuild) -> str:
    return (
        "COCO 2017 (Lin et al., Microsoft COCO: Common Objects in Context, arXiv 1405.0312), "
        f"split `{config.source.split}`, licences `{config.source.licences}`. Task `object` of IPAdapter-Instruct "
        "(arXiv 2408.03209): the condition is an object, the target the photograph that holds it, "
        "the slot the name of the object's category."
    )


def _filters() -> str:
    lines = [REFERENCE, *((name, meaning) for name, meaning, _ in FILTERS), *AFTERWARDS]
    rows = [f"{number}. `{name}`: {meaning}" for number, (name, meaning) in enumerate(lines, start=1)]
    return (
        "An annotation is dropped by the first of these that holds. `area` is the area that COCO states.\n\n"
        + "\n".join(rows)
        + "\n\nThe thresholds are listed under Settings. When the photographs are read, a sample is dropped if its "
        "file is `missing_file`, `not_an_image`, `truncated`, over `source.max_pixels` (`too_many_pixels`), of another "
        "size than annotated (`size_mismatch`; COCO's coordinates are those of the file before any EXIF turn), or if "
        "the outline covers no pixel (`empty_mask`)."
    )


def _pictures(config: ObjectBuild, model: ModelCaptioner | None) -> str:
    size = config.image_size
    if model is not None:
        caption = model.card_text()
    elif config.captioner.name == "dataset":
        caption = "COCO's own caption of the photograph with the lowest id."
    else:
        caption = (
            f"The template `{config.captioner.template}` with the kinds of objects whose middle lies in the target."
        )
    return (
        "- target: the square of the photograph's shorter side that is nearest to its middle and holds the object's "
        f"box, scaled to {size} x {size} px (Lanczos)\n"
        "- condition: the object's pixels on one colour (keyed by seed and annotation), the square around its box with "
        f"a margin of {config.crop.margin:.0%} of the box's longer side on each side, scaled to {size} x {size} px\n"
        f"- both JPEG, quality {config.jpeg_quality}, 4:4:4\n"
        "- cond_prompt: `a photo of a <name>`\n"
        f"- prompt: {caption}"
    )
