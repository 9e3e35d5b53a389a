"""What the data card says of JourneyDB."""

from data_builders.engine.records import CardSection
from data_builders.journeydb.config import CopyBuild
from data_builders.journeydb.filters import FILTERS

LICENCE = {
    "name": "JourneyDB terms of usage: non-commercial research, no redistribution",
    "url": "https://huggingface.co/datasets/JourneyDB/JourneyDB",
}
"""Written to every record."""

_LICENCE = f"""JourneyDB may be used for non-commercial research only, and **neither the data nor anything derived from
it may be passed on**: not the archives, not these shards. Its terms are on its page ({LICENCE["url"]}), where they are
accepted before the download; Midjourney's terms hold for the pictures too. The recipe (command, settings, manifest with
its hashes) can be shared."""


_PROMPTS = {
    "clean": "the Midjourney prompt without flags (`--ar 3:2`), weights (`::2`; a part of negative weight goes with "
    "it), addresses of image prompts and doubled or trailing commas",
    "raw": "the Midjourney prompt as its author wrote it, on one line",
}


def card_sections(config: CopyBuild) -> list[CardSection]:
    """Source, licence, filters in their order, pictures and prompts."""
    return [
        CardSection("Source", _source(config)),
        CardSection("Licence", _LICENCE),
        CardSection("Filters, in order", _filters()),
        CardSection("Pictures and prompts", _pictures(config)),
    ]


def _source(config: CopyBuild) -> str:
    return (
        f"JourneyDB (Sun et al., arXiv 2307.00716), split `{config.source.split}`, the annotations whose paths match "
        "the archives (`repath`). Task `copy` of IPAdapter-Instruct (arXiv 2408.03209): the condition is the target "
        "itself, so a sample holds one picture. The group of the validation split is the prompt: all pictures of one "
        "prompt are on the same side. Only pictures of archives that were there when the build was planned take part."
    )


def _filters() -> str:
    rows = [f"{number}. `{reason}`: {meaning}" for number, (reason, meaning) in enumerate(FILTERS, start=1)]
    return (
        "An annotated picture is dropped by the first of these that holds.\n\n"
        + "\n".join(rows)
        + "\n\nWhen the archives are read, a sample is dropped if its picture is `not_in_archive`, `not_an_image`, "
        "`truncated`, over `source.max_pixels` (`too_many_pixels`) or over 64 MiB (`too_many_bytes`). An archive that "
        "is cut short or damaged stops the build; it goes on when the archive is whole."
    )


def _pictures(config: CopyBuild) -> str:
    size = config.image_size
    return (
        f"- target: the square in the middle of the picture, scaled to {size} x {size} px (Lanczos), JPEG, quality "
        f"{config.jpeg_quality}, 4:4:4\n"
        "- condition: the target; shards hold it once\n"
        f"- prompt and cond_prompt: {_PROMPTS[config.source.prompt]}\n"
        "- the prompt as it was given: `generation.prompt`\n"
        "- scores: `side`, the side of the square before scaling in px; `visible`, its share of the picture"
    )
