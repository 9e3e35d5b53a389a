"""Which builder makes which task. A new builder is a line here, a package beside this, and a `conf/build/task` file."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from data_builders.engine.config import BuildConfig
from data_builders.engine.records import Builder
from ipai.errors import ConfigError


@dataclass(frozen=True)
class Entry:
    """Where a task's config class and builder class live, as `module:name`, imported when they are needed."""

    config: str
    builder: str


# By task; a builder that serves several tasks stands here under its own name, which its configs give as `builder`.
BUILDERS = {
    "copy": Entry("data_builders.journeydb.config:CopyBuild", "data_builders.journeydb.builder:JourneyBuilder"),
    "face": Entry("data_builders.celeba.config:FaceBuild", "data_builders.celeba.builder:CelebaBuilder"),
    "object": Entry("data_builders.coco.config:ObjectBuild", "data_builders.coco.builder:CocoBuilder"),
    "structure": Entry(
        "data_builders.commoncanvas.config:StructureBuild", "data_builders.commoncanvas.builder:CommonCanvasBuilder"
    ),
    "style": Entry(
        "data_builders.instantstyle.config:StyleBuild", "data_builders.instantstyle.builder:InstantStyleBuilder"
    ),
    "catalog_copy": Entry(
        "data_builders.commoncanvas.config:CatalogCopyBuild", "data_builders.commoncanvas.copies:CatalogCopyBuilder"
    ),
    "own": Entry("data_builders.own.config:OwnBuild", "data_builders.own.builder:OwnBuilder"),
    "worded_style": Entry(
        "data_builders.worded_style.config:WordedStyleBuild", "data_builders.worded_style.builder:WordedStyleBuilder"
    ),
    "rendered": Entry("data_builders.rendered.config:RenderedBuild", "data_builders.rendered.builder:RenderedBuilder"),
}


def schema_of(task: str, builder: str | None = None) -> type[BuildConfig]:
    """The config class of the builder that makes `task`, or of the one that is named.

    Raises:
        ConfigError: There is no such builder.
    """
    schema: type[BuildConfig] = _load(_entry(builder or task).config)
    return schema


def create_builder(config: BuildConfig) -> Builder:
    """The builder that `config` asks for. It reads nothing yet.

    Raises:
        ConfigError: No builder makes this task.
    """
    name = getattr(config, "builder", config.task)
    builder: Builder = _load(_entry(name).builder)(config)
    return builder


def _entry(task: str) -> Entry:
    if task not in BUILDERS:
        raise ConfigError(f"no builder makes task={task}; there are builders for {', '.join(BUILDERS)}")
    return BUILDERS[task]


def _load(location: str) -> Any:
    module, name = location.split(":")
    return getattr(import_module(module), name)
