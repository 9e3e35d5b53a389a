"""The stage between plan and build: a language model is asked about every picture that needs a caption.

Afterwards `make` only looks answers up, so shards stay pure functions of plan, settings and cache.
"""

from collections.abc import Iterator
from itertools import chain

from PIL import Image

from data_builders.captions.captioner import CaptionedBuilder, ModelCaptioner
from data_builders.engine.config import BuildConfig
from data_builders.engine.folder import folder_of, locked
from data_builders.engine.plan import ShardPlan
from data_builders.engine.records import Builder, Drop
from ipai.errors import ConfigError
from ipai.llm.asking import Report, Tally, ask_all
from ipai.llm.batches import ask_in_batches
from ipai.llm.client import key_of
from ipai.llm.config import cache_path
from ipai.llm.question import Question


def ask_captions(
    builder: Builder, captioner: ModelCaptioner, config: BuildConfig, shards: list[ShardPlan], report: Report
) -> Tally:
    """Ask about the pictures of shards that are going to be built; what the cache knows is not asked.

    Args:
        builder: Says which pictures.
        captioner: Says what is asked.
        config: The settings of the build.
        shards: Those that are not done (`shards_to_build`).
        report: Called whenever a picture is settled.

    Raises:
        ConfigError: The builder does not take captions from a model, or the key is missing.
        DataError: Another process builds here, the source cannot be read, the budget is used up, the server refuses or
            stays down, or the cache cannot be written. Answers are kept; the same call goes on from there.
    """
    source = caption_source(builder)
    pictures = chain.from_iterable(source.pictures_to_caption(shard.records) for shard in shards)
    folder = folder_of(config)
    tally = Tally()
    ask = ask_in_batches if captioner.config.mode == "batch" else ask_all
    with locked(folder):
        ask(
            _questions(captioner, pictures),
            total=captions_of(builder, shards),
            model=captioner.config,
            scope=str(folder.resolve()),
            tally=tally,
            report=report,
        )
    return tally


def refuse_missing_key(captioner: ModelCaptioner) -> None:
    """Raise a ConfigError if questions may have to be asked and the environment holds no key for the server."""
    if not cache_path(captioner.config).exists():  # else all may be known
        key_of(captioner.config)


def captions_of(builder: Builder, shards: list[ShardPlan]) -> int:
    """How many captions the samples of `shards` need at most; raises ConfigError as `caption_source` does."""
    return caption_source(builder).captions_each * sum(len(shard.records) for shard in shards)


def caption_source(builder: Builder) -> CaptionedBuilder:
    """`builder`, which names the pictures that it needs captions of; raises ConfigError if it is not of that sort."""
    if not isinstance(builder, CaptionedBuilder):
        raise ConfigError(
            f"the builder {builder.name} takes no captions from a language model; choose captioner=dataset"
        )
    return builder


def _questions(captioner: ModelCaptioner, pictures: Iterator[Image.Image | Drop]) -> Iterator[Question]:
    """One for each picture; what cannot be read is left to `make`, which drops it and counts why."""
    return (captioner.question(picture) for picture in pictures if not isinstance(picture, Drop))
