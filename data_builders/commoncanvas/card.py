"""What the data card says of CommonCatalog and of the scribble ControlNet."""

from data_builders.commoncanvas.config import StructureBuild
from data_builders.commoncanvas.filters import DUPLICATE, FILTERS
from data_builders.engine.records import CardSection

_LICENCES = """The photographs belong to their authors on Flickr, each under the licence that its record
names (`source.licence`); `source.attribution` names the author and the page, which a copy must credit. Licences that
forbid derivatives are left out, because a generated target is one. The catalogue's position and EXIF columns are never
read, and pictures are encoded anew without metadata. Captions were made by BLIP-2 for the catalogue. Targets are drawn
by Stable Diffusion 1.5 and a ControlNet, both under CreativeML OpenRAIL-M, whose use restrictions go with them."""


def card_sections(config: StructureBuild) -> list[CardSection]:
    """Source, licences, filters in their order, pictures and prompts."""
    return [
        CardSection("Source", _source(config)),
        CardSection("Licences", _LICENCES),
        CardSection("Filters, in order", _filters()),
        CardSection("Pictures and prompts", _pictures(config)),
    ]


def _source(config: StructureBuild) -> str:
    return (
        "CommonCatalog (Gokaslan et al., CommonCanvas, arXiv 2310.16825), files "
        f"`{config.source.files}`, licences `{config.source.licences}`. Task `structure` of IPAdapter-Instruct (arXiv "
        "2408.03209): the condition is a photograph, the target a picture with its edges and its prompt. The group of "
        "the validation split is the photograph."
    )


def _filters() -> str:
    lines = [*((name, meaning) for name, meaning, _ in FILTERS), DUPLICATE]
    rows = [f"{number}. `{name}`: {meaning}" for number, (name, meaning) in enumerate(lines, start=1)]
    return (
        "A row is dropped by the first of these that holds.\n\n"
        + "\n".join(rows)
        + "\n\nWhen the photographs are read, a sample is dropped if its cell is empty (`no_picture`) or in a "
        "`damaged_row_group`, if the picture is `not_an_image`, `truncated`, over `source.max_pixels` "
        "(`too_many_pixels`) or under `source.min_side` (`too_small`), if its lines cover less than "
        "`edges.min_density` (`few_edges`) or more than `edges.max_density` (`many_edges`), or if the generated "
        "picture is `not_finite` or `blank`."
    )


def _pictures(config: StructureBuild) -> str:
    size, teacher, edges = config.image_size, config.teacher, config.edges
    return (
        f"- condition: the square in the middle of the photograph, scaled to {size} x {size} px (Lanczos)\n"
        f"- edges (not stored): Canny on that square at {teacher.resolution} px, thresholds {edges.low:g} and "
        f"{edges.high:g}, lines thickened by {edges.dilation} px, white on black\n"
        f"- target: teacher `{teacher.name}` on these edges and the prompt, {teacher.steps} steps of "
        f"`{teacher.sampler}`, guidance {teacher.guidance:g}, generated at {teacher.resolution} px and scaled to "
        f"{size} px; models, revisions and seed are in `generation`\n"
        f"- both JPEG, quality {config.jpeg_quality}, 4:4:4\n"
        "- prompt and cond_prompt: `blip2_caption`\n"
        "- scores: `edge_density`, the share that the condition's lines cover; `edge_f1`, how well the target's lines "
        f"follow them, within {edges.tolerance} px"
    )
