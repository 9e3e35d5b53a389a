"""The families of bases, and finding and loading one of them.

A further family is a subclass of `Backbone` in a file of its own and a row in `FAMILIES`.
"""

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ipai.backbones.backbone import Backbone
from ipai.backbones.config import FAMILIES, INSTRUCTION_ENCODER, BaseConfig, config_problems, weights_of
from ipai.backbones.dims import BaseDims
from ipai.backbones.hub import locate
from ipai.backbones.loading import load_part, read_config, resolve_dtype
from ipai.backbones.parts import row_of
from ipai.errors import ConfigError, WeightsError


def family_of(config: BaseConfig) -> type[Backbone]:
    """The family of a base.

    Raises:
        ConfigError: There is none of that name.
    """
    if config.family not in FAMILIES:
        raise ConfigError(f"base.family={config.family} is none of {', '.join(FAMILIES)}")
    family = FAMILIES[config.family]
    kind: type[Backbone] = getattr(importlib.import_module(family.module), family.kind)
    return kind


@dataclass(frozen=True)
class FoundBase:
    """A base whose files are known.

    Attributes:
        config: Of the base.
        folders: Part -> where its files lie.
        configs: Part -> what its configuration says; the denoiser's is the network itself without memory for weights.
    """

    config: BaseConfig
    folders: dict[str, Path]
    configs: dict[str, Any]

    @cached_property
    def dims(self) -> BaseDims:
        """Its sizes; the parts that `read_dims` reads must have been looked for."""
        return family_of(self.config).measure(self.config, self.configs)

    def joined(self, other: "FoundBase") -> "FoundBase":
        """With further parts of the same base."""
        return FoundBase(self.config, self.folders | other.folders, self.configs | other.configs)

    def load(self, device: torch.device | str, only: Iterable[str]) -> Backbone:
        """Load these parts of it, frozen.

        Raises:
            WeightsError: One of them cannot be loaded.
        """
        device = torch.device(device)
        dtype = resolve_dtype(self.config.dtype, device)
        parts = {part: load_part(part, self.folders[part], dtype, device, self.config.family) for part in only}
        return family_of(self.config)(self.config, device, parts)


def find_base(config: BaseConfig, parts: Iterable[str], *, weights: bool = True) -> FoundBase:
    """Find parts of a base on this machine or the hub, and check that they fit together.

    Args:
        config: Of the base.
        parts: Those of its family, or the instruction encoder.
        weights: False looks for the small configuration files only.

    Raises:
        ConfigError: `config` or `parts` cannot work.
        WeightsError: Parts are missing (each is named, with where it was looked for and the mend), or do not fit
            together.
    """
    parts, family = tuple(parts), family_of(config)
    known = (*family.parts, INSTRUCTION_ENCODER)
    problems = [
        *config_problems(config),
        *(f"the base has no part {part}; it has {', '.join(known)}" for part in parts if part not in known),
        *(
            f"base.family={config.family} needs base.{part}.id, which base={config.name} does not give"
            for part in family.parts
            if getattr(config, part, None) is None
        ),
        *(
            f"base.{part} is no part of base.family={config.family}; leave it out (null)"
            for part in weights_of(config)
            if part not in known
        ),
    ]
    if problems:
        raise ConfigError("\n".join(problems))
    folders = locate(config, parts, weights=weights)
    configs = {part: read_config(part, folder, config.family) for part, folder in folders.items()}
    misfits = list(family.problems(config, configs))
    if misfits:
        raise WeightsError(
            f"the parts of the base {config.name} do not fit:\n" + "\n".join(f"  - {line}" for line in misfits)
        )
    return FoundBase(config, folders, configs)


def load_base(config: BaseConfig, device: torch.device | str, *, only: Iterable[str] | None = None) -> Backbone:
    """Find, check and load the frozen parts, those named in `only` or all; raises what `find_base` and `load` do."""
    parts = family_of(config).parts if only is None else tuple(only)
    return find_base(config, parts).load(device, parts)


def find_networks(config: BaseConfig, *, instructions: bool = True) -> FoundBase:
    """The configurations of a base's networks; nothing else is looked for.

    Args:
        config: Of the base.
        instructions: False leaves the instruction encoder out, which need not be there then.

    Raises:
        WeightsError: A configuration file is missing or unusable, or the parts do not fit together.
    """
    family = family_of(config)
    parts = [part for part in family.parts if part != "scheduler" and not row_of(part, config.family).is_tokenizer]
    return find_base(config, [*parts, *([INSTRUCTION_ENCODER] if instructions else [])], weights=False)


def read_dims(config: BaseConfig, *, instructions: bool = True) -> BaseDims:
    """The sizes of a base; arguments and errors as of `find_networks`."""
    return find_networks(config, instructions=instructions).dims
