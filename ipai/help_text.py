"""What `--help` prints: a command's settings as its files hold them, each with the comment beside it.

Reads the YAML files as text: Hydra composes nothing for it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from string import Template

from ipai.command_line import content_of, defaults_of

_PACKAGE = re.compile(r"# @package (?P<place>\w+)")


def help_text(conf: Path, name: str, words: Sequence[str]) -> str:
    """The help of a command.

    Args:
        conf: The folder of its configuration.
        name: Of its file, without `.yaml`.
        words: Of the command line; what they choose of a group is shown, such as `recipe=toy`.
    """
    content = content_of(conf / f"{name}.yaml")
    told = content["hydra"]["help"]
    chosen = _choices(conf, name, words)
    settings = "\n\n".join([_settings(conf, conf / f"{name}.yaml"), *_groups(conf, chosen)])
    groups = "\n".join(f"{group}: {', '.join(_names(conf, group))}" for group in chosen)
    text = str(told["template"]).replace("${hydra.help.header}", told.get("header", ""))
    text = text.replace("${hydra.help.footer}", told.get("footer", ""))
    return Template(text).safe_substitute(CONFIG=settings + "\n", APP_CONFIG_GROUPS=groups + "\n").rstrip()


def _choices(conf: Path, name: str, words: Sequence[str]) -> dict[str, str | None]:
    """What is chosen of each group: by the command line, else by a chosen file, else by the defaults."""
    given = dict(word.lstrip("+").split("=", 1) for word in words if "=" in word)
    chosen: dict[str, str | None] = {}
    for group, choice in defaults_of(conf / f"{name}.yaml"):
        if (conf / group).is_dir():
            chosen[group] = given.get(group, choice)
    for group, choice in list(chosen.items()):
        if choice is not None and (conf / group / f"{choice}.yaml").is_file():
            for other, value in defaults_of(conf / group / f"{choice}.yaml"):
                if other in chosen and other not in given:
                    chosen[other] = value
    return chosen


def _groups(conf: Path, chosen: Mapping[str, str | None]) -> Iterator[str]:
    """The settings of each group's chosen file, under the key that they belong to."""
    for group, choice in chosen.items():
        path = conf / group / f"{choice}.yaml"
        head = f"# {group}={'null' if choice is None else choice}"
        if not path.is_file():
            yield head
            continue
        package = _PACKAGE.match(path.read_text(encoding="utf-8"))
        place, settings = package["place"] if package else group, _settings(conf, path)
        yield f"{head}\n{settings}" if place == "_global_" else f"{head}\n{place}:\n{_indented(settings)}"


def _settings(conf: Path, path: Path) -> str:
    """A file's lines without what is Hydra's own, and before them those of the files that it builds on."""
    blocks = _blocks(path)
    own = {key: text for key, text in blocks.items() if key not in ("defaults", "hydra", "")}
    content = content_of(path)
    for line in content.get("defaults", []):
        parent = (conf if str(line).startswith("/") else path.parent) / f"{str(line).lstrip('/')}.yaml"
        if isinstance(line, str) and line != "_self_" and parent.is_file():
            inherited = {key: text for key, text in _blocks(parent).items() if key not in ("defaults", "hydra", "")}
            own = inherited | own
    return "\n".join(text.rstrip() for text in own.values())


def _blocks(path: Path) -> dict[str, str]:
    """The lines of each top-level key, its comments and deeper keys among them; `""` is what stands before."""
    found: dict[str, str] = {"": ""}
    key = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"([A-Za-z_]\w*):", line):
            key = match[1]
        found[key] = f"{found[key]}\n{line}" if found.get(key) else line
    return found


def _names(conf: Path, group: str) -> list[str]:
    return sorted(path.stem for path in (conf / group).glob("*.yaml"))


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" if line else line for line in text.splitlines())
