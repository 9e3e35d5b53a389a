"""What the data card says of the style images, the prompts and InstantStyle."""

from data_builders.captions.captioner import ModelCaptioner
from data_builders.engine.records import CardSection
from data_builders.instantstyle.config import StyleBuild
from data_builders.instantstyle.images import REASONS


def card_sections(config: StyleBuild, model: ModelCaptioner | None) -> list[CardSection]:
    """Source, licences, filters in their order, prompts, pictures and captions, which `model` wrote if there is one."""
    return [
        CardSection("Source", _source(config)),
        CardSection("Licences", _licences(config)),
        CardSection("Filters, in order", _filters()),
        CardSection("Prompts", _prompts(config)),
        CardSection("Pictures and captions", _pictures(config, model)),
    ]


def _source(config: StyleBuild) -> str:
    return (
        f"Style images: `{config.source.dataset}`. Task `style` of IPAdapter-Instruct (arXiv 2408.03209): the "
        "condition is a style image, the target a picture of another prompt that InstantStyle (arXiv 2404.02733) drew "
        f"in its style. Each style image has {config.source.pairs_per_image} pairs; the group of the validation split "
        "is the style image, so no style of one side is on the other."
    )


def _licences(config: StyleBuild) -> str:
    teacher = config.teacher
    base = "CreativeML Open RAIL++-M (SDXL)" if teacher.is_sdxl else "CreativeML OpenRAIL-M (Stable Diffusion 1.5)"
    return (
        f"Style images: {config.source.licence_name} ({config.source.licence_url or 'no page'}). Check their terms "
        "before you share shards; the manifest can be shared as it is. The prompts' terms are those of your file. "
        f"Targets are drawn by models under {base}, whose use restrictions go with them, and IP-Adapter (Apache-2.0)."
    )


def _filters() -> str:
    lines = [*REASONS.items(), ("caption", "captioner=dataset has no caption of it")]
    rows = [f"{number}. `{name}`: {meaning}" for number, (name, meaning) in enumerate(lines, start=1)]
    return (
        "A picture, and with it all its pairs, is dropped by the first of these that holds.\n\n"
        + "\n".join(rows)
        + "\n\nWhile building, a sample is dropped if its style image changed to one of the above, or if the generated "
        "picture is `not_finite` or `blank`."
    )


def _prompts(config: StyleBuild) -> str:
    prompts = config.prompts
    how = (
        "Words of style, medium, artist and quality are taken out (`data_builders/instantstyle/content.py`), because "
        "they would fight the style image. "
        if prompts.content_only
        else "They are taken as they are. "
    )
    return (
        f"{how}Prompts of fewer than {prompts.min_words} or more than {prompts.max_words} words and repeated ones are "
        "left out. Which prompt goes with which pair is drawn by a keyed hash of the pair."
    )


def _pictures(config: StyleBuild, model: ModelCaptioner | None) -> str:
    size, teacher = config.image_size, config.teacher
    free = (
        "the caption in the file beside the pictures"
        if config.captioner.name == "dataset"
        else f"`{config.captioner.template}` for all of them, so CLIP-S says little"
    )
    subtracted = (
        f"; {teacher.subtract_content:g} x the embedding of cond_prompt is subtracted from the style image's"
        if teacher.subtract_content
        else ""
    )
    return (
        f"- condition: the square in the middle of the style image, scaled to {size} x {size} px (Lanczos)\n"
        f"- target: teacher `{teacher.name}`, scales `{teacher.scales}`, {teacher.steps} steps of `{teacher.sampler}`, "
        f"guidance {teacher.guidance:g}, negative prompt `{teacher.negative_prompt}`, generated at "
        f"{teacher.resolution} px and scaled to {size} px{subtracted}; models, revisions and seed are in `generation`\n"
        f"- both JPEG, quality {config.jpeg_quality}, 4:4:4\n"
        f"- cond_prompt: {model.card_text() if model else free}"
    )
