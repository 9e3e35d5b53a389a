"""Words of a command line as people write them, for Hydra's grammar; and Hydra's errors in our words."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from ipai.schema import suggestion

_WORD = re.compile(r"(?P<key>[A-Za-z_][\w.]*)=(?P<value>.*)", re.DOTALL)
_NO_KEY = re.compile(r"Could not override '(?P<key>[^']+)'")
_NO_CHOICE = re.compile(r"Could not find '(?P<group>.+)/(?P<name>[^'/]*)'")
_AMBIGUOUS = re.compile(r"Ambiguous value for argument '(?P<key>[^=]+)=(?P<value>.*?)'$", re.MULTILINE)


def readable(words: Sequence[str], conf: Path) -> list[str]:
    """Command-line words with every value that Hydra's grammar does not read put into its quotes, as plain text.

    A value with a comma is text too, such as `instruction=use the style, please`, unless its key chooses a group of
    `conf` or the command sweeps (`-m`); lists are written `[a,b]`.
    """
    sweeping = bool({"-m", "--multirun"} & set(words))
    return [word if word.startswith("-") else _readable(word, conf, sweeping) for word in words]


def explained(error: Exception, conf: Path, name: str) -> str:
    """What Hydra says, in a line: the key or the choice that does not exist, and the one that is near.

    Args:
        error: Of Hydra or OmegaConf.
        conf: The folder of the command's configuration.
        name: Of its file, without `.yaml`.
    """
    text = str(error)
    if found := _NO_KEY.search(text):
        known = known_keys(conf, name)
        inside = [key for key in known if key.startswith(f"{found['key']}.")]
        if inside:
            return f"{found['key']} has no such key; it has {', '.join(sorted(inside))}"
        if found["key"] in known:  # an empty dictionary, to which entries are added
            return f"{found['key']} takes what is added to it: '+{found['key']}.NAME=...'; see --help"
        return f"there is no key {found['key']}{suggestion(found['key'], known) or '; see --help'}"
    if found := _NO_CHOICE.search(text):
        choices = sorted(path.stem for path in (conf / found["group"]).glob("*.yaml"))
        return f"{found['group']}={found['name']} is none of {', '.join(choices)}{suggestion(found['name'], choices)}"
    if found := _AMBIGUOUS.search(text):
        return f"{found['key']}={found['value']} names several; add -m to run each of them, or choose one"
    return text


def known_keys(conf: Path, name: str) -> set[str]:
    """The dotted keys of a command's file and of every choice of its groups."""
    file = conf / f"{name}.yaml"
    found, groups = set(_keys(file, "")), {group for group, _ in defaults_of(file)}
    for path in conf.glob("*/*.yaml"):
        if path.parent.name not in groups:
            continue
        package = "" if "@package _global_" in path.read_text(encoding="utf-8") else path.parent.name
        found |= {path.parent.name, *_keys(path, package)}
    return found


def _readable(word: str, conf: Path, sweeping: bool) -> str:
    found = _WORD.fullmatch(word)
    if found is None:
        return word
    try:
        override = OverridesParser.create().parse_override(word)
        text = override.is_sweep_override() and not sweeping and not (conf / found["key"].replace(".", "/")).is_dir()
    except HydraException:
        text = True
    if not text:
        return word
    escaped = re.sub(r"(\\*)'", lambda match: 2 * match[1] + "\\'", found["value"])
    trailing = len(escaped) - len(escaped.rstrip("\\"))
    return f"{found['key']}='{escaped}{trailing * chr(92)}'"


def defaults_of(path: Path) -> Iterator[tuple[str, str | None]]:
    """The groups in a file's defaults and what is chosen of each: `base`, `sd15` of `override /base@other: sd15`."""
    for line in content_of(path).get("defaults", []):
        if isinstance(line, dict):
            for key, choice in line.items():
                yield key.split()[-1].split("@")[0].lstrip("/"), choice


def content_of(path: Path) -> dict[str, Any]:
    """What a file of settings holds."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}


def _keys(path: Path, prefix: str) -> Iterator[str]:
    yield from _flat(
        {key: value for key, value in content_of(path).items() if key not in ("defaults", "hydra")}, prefix
    )


def _flat(node: dict[str, object], prefix: str) -> Iterator[str]:
    for key, value in node.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        yield name
        if isinstance(value, dict):
            yield from _flat(value, name)
